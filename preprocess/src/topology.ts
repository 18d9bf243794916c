/** The topology file: where buckets, stores, services, balancer, pack and control store are. */
import { dirname, resolve } from "node:path";
import { z } from "zod";
import { localCopy } from "./aws/places.ts";
import { BadInput } from "./errors.ts";
import { slotOf, SLOTS } from "./slots.ts";
import type { FieldPath } from "./yaml-file.ts";
import { listField, mapField, readYaml, textField, wholeField } from "./yaml-file.ts";

/** Where a secret is kept; the file is an absolute path. */
export type SecretSource = { env: string } | { file: string };

export const SECRET_NAMES = ["token", "receipt", "operator", "spop", "redis", "mysql"] as const;
export type SecretName = (typeof SECRET_NAMES)[number];

export interface RedisPlace {
  /** `redis://host:port`, without a password. */
  url: string;
  tls: boolean;
  cluster: boolean;
}

export interface MysqlPlace {
  /** `mysql://user@host:port`, without a password and a database. */
  url: string;
  tls: boolean;
}

/** A service process; all three are `host:port`. */
export interface ServicePlace {
  id: string;
  http: string;
  spop: string;
  admin: string;
}

/** Service processes that are found by the service-discovery API under this name; ports only. */
export interface DiscoveredServices {
  discover: string;
  http: number;
  spop: number;
  admin: number;
}

/** Any other process, with its admin `host:port`. */
export interface ProcessPlace {
  id: string;
  admin: string;
}

export interface BucketPlace {
  id: string;
  /** Inclusive runs of slots. */
  slots: [number, number][];
  redis: RedisPlace;
  mysql: MysqlPlace;
  services: ServicePlace[] | DiscoveredServices;
  persist: ProcessPlace[];
  payout: ProcessPlace[];
}

/** A wallet or an order system that payouts go to, in place of the built-in ledger and order book. */
export interface PayoutTargetPlace {
  /** Payouts are posted here. */
  url: string;
  /** What requests are signed with. */
  secret: SecretSource;
  /** An answer that takes longer is unknown, and asked for again. */
  timeoutMs: number;
  /** Requests under way from one payout process. */
  inFlight: number;
}

export const PAYOUT_TARGETS = ["wallet", "orders"] as const;

export interface BalancerPlace {
  listen: string;
  url: string;
  admin: string;
  /** Where there are several: their name in service discovery. All have the port of `admin`. */
  discover?: string;
  tls?: { cert: string };
  /** Connections come from a load balancer that says whose they are (proxy protocol, version 2); none comes without. */
  proxyProtocol?: boolean;
  /** `s3://bucket`: where controllers write the schedule and the start files when the site is elsewhere. */
  publish?: string;
  /** Where the page and the start files are. */
  site: string;
}

export interface Topology {
  /** The file it was read from, absolute. */
  path: string;
  slots: typeof SLOTS;
  /** An absolute directory; that of the local copy when the file says `s3://…`. */
  pack: string;
  /** The pack's `s3://…`, when it has one; commands bring it before they run (aws/bring.ts). */
  packFrom?: string;
  /** An absolute directory or `s3://…`. */
  control: string;
  /** `s3://…`: where the archive goes; its last object is the marker without which Terraform does not destroy. */
  archive?: string;
  balancer: BalancerPlace;
  controllers: ProcessPlace[];
  buckets: BucketPlace[];
  /** Who pays envelopes; the built-in ledger when it is not named. */
  wallet?: PayoutTargetPlace;
  /** Who takes the orders of item rounds; the built-in order book when it is not named. */
  orders?: PayoutTargetPlace;
  secrets: Record<SecretName, SecretSource>;
}

const BUCKETS_MAX = 256;

const id = textField(/^[a-z0-9-]{1,32}$/, "an id of 1 to 32 of a-z 0-9 -");
const address = z
  .string({ error: "host:port" })
  .refine((text) => isAddress(text), { error: "host:port with a port from 1 to 65535" });
const place = z.string({ error: "a path or s3://…" }).min(1, { error: "a path or s3://…" });
const s3Place = z
  .string({ error: "s3://bucket/prefix" })
  .regex(/^s3:\/\/[a-z0-9.-]{3,63}(\/[A-Za-z0-9._-]+)*$/, { error: "s3://bucket/prefix" });
const process = mapField({ id, admin: address }, "{ id: …, admin: host:port }");
const webUrl = urlField(["http:", "https:"], "a URL such as http://127.0.0.1:8080");

const secret = z.union(
  [
    z.strictObject({ env: z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/) }),
    z.strictObject({ file: z.string().min(1) }),
  ],
  { error: "{ env: NAME } or { file: PATH }" },
);

const slotRun = z
  .tuple([wholeField(0, SLOTS - 1), wholeField(0, SLOTS - 1)], { error: "[first, last]" })
  .refine(([first, last]) => first <= last, { error: "[first, last] with first <= last" });

const services = z.union(
  [
    z
      .array(mapField({ id, http: address, spop: address, admin: address }, "a service"))
      .min(1)
      .max(1000),
    z.strictObject({
      discover: z.string().min(1),
      http: wholeField(1, 65_535),
      spop: wholeField(1, 65_535),
      admin: wholeField(1, 65_535),
    }),
  ],
  {
    error:
      "a list of { id, http: host:port, spop: host:port, admin: host:port }, or { discover, http, spop, admin }",
  },
);

const bucket = mapField(
  {
    id,
    slots: listField(slotRun, 1, SLOTS, "runs of slots [first, last]"),
    redis: mapField(
      {
        url: urlField(["redis:", "rediss:"], "redis://host:port without a password (that is a secret)"),
        tls: z.boolean({ error: "true or false" }).default(false),
        cluster: z.boolean({ error: "true or false" }).default(false),
      },
      "{ url: redis://host:port, tls, cluster }",
    ),
    mysql: mapField(
      {
        url: urlField(["mysql:"], "mysql://user@host:port without a password (that is a secret)"),
        tls: z.boolean({ error: "true or false" }).default(false),
      },
      "{ url: mysql://user@host:port, tls }",
    ),
    services,
    persist: listField(process, 0, 100, "processes").default([]),
    payout: listField(process, 0, 100, "processes").default([]),
  },
  "a bucket: id, slots, redis, mysql, services",
);

const payoutTarget = mapField(
  {
    url: webUrl,
    secret,
    timeoutMs: wholeField(100, 60_000).default(3_000),
    inFlight: wholeField(1, 1_000).default(32),
  },
  "{ url: https://…, secret: { env: NAME } or { file: PATH }, timeoutMs, inFlight }",
).optional();

const topologySchema = mapField(
  {
    slots: z.literal(SLOTS, { error: String(SLOTS) }),
    pack: place,
    control: place,
    archive: s3Place.optional(),
    balancer: mapField(
      {
        listen: address,
        url: webUrl,
        admin: address,
        discover: z.string().min(1).optional(),
        tls: mapField(
          { cert: z.string({ error: "a path" }).min(1, { error: "a path" }) },
          "{ cert: PATH }",
        ).optional(),
        proxyProtocol: z.boolean({ error: "true or false" }).optional(),
        publish: s3Place.optional(),
        site: webUrl,
      },
      "{ listen, url, admin, site }",
    ),
    controllers: listField(process, 1, 10, "controllers"),
    buckets: listField(bucket, 1, BUCKETS_MAX, "buckets"),
    wallet: payoutTarget,
    orders: payoutTarget,
    secrets: mapField(
      { token: secret, receipt: secret, operator: secret, spop: secret, redis: secret, mysql: secret },
      `six secrets: ${SECRET_NAMES.join(", ")}`,
    ),
  },
  "a topology: slots, pack, control, balancer, controllers, buckets, secrets",
);

function isAddress(text: string): boolean {
  const parts = /^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._*-]*):(\d{1,5})$/.exec(text);
  const port = Number(parts?.[2] ?? 0);
  return port >= 1 && port <= 65_535;
}

/** A URL with one of these protocols, a host, and neither password nor path: those have their own places. */
function urlField(protocols: string[], what: string) {
  return z.string({ error: what }).transform((text, context) => {
    const url = URL.canParse(text) ? new URL(text) : null;
    const isBare = url !== null && url.password === "" && url.search === "" && url.hash === "";
    const isStore = !protocols.includes("http:");
    if (isBare && protocols.includes(url.protocol) && url.host && (!isStore || url.pathname.length <= 1)) {
      return text.replace(/\/$/, "");
    }
    // The password itself is left out where the value is shown.
    const message = url?.password ? `${what}; this one has a password in it` : what;
    context.addIssue({ code: "custom", message });
    return z.NEVER;
  });
}

type Refuse = (field: FieldPath, problem: string) => never;

/**
 * Reads and checks a topology file: every slot exactly once, ids and addresses unique, six different secrets.
 * Paths are relative to the file. Throws BadInput (file, line, field, found, expected), Unreachable when absent.
 */
export function readTopology(path: string): Topology {
  const { data, where } = readYaml(path, topologySchema, "a topology file");
  const refuse: Refuse = (field, problem) => {
    throw new BadInput(`${where(field)}: ${problem}`);
  };
  const base = dirname(resolve(path));
  const located = (text: string): string => (text.startsWith("s3://") ? text : resolve(base, text));
  const { tls, proxyProtocol, publish, discover, ...balancer } = data.balancer;
  const topology: Topology = {
    path: resolve(path),
    slots: SLOTS,
    ...(data.pack.startsWith("s3://")
      ? { pack: localCopy(data.pack), packFrom: data.pack }
      : { pack: located(data.pack) }),
    control: located(data.control),
    ...(data.archive === undefined ? {} : { archive: data.archive }),
    balancer: {
      ...balancer,
      ...(tls ? { tls: { cert: located(tls.cert) } } : {}),
      ...(proxyProtocol ? { proxyProtocol } : {}),
      ...(publish === undefined ? {} : { publish }),
      ...(discover === undefined ? {} : { discover }),
    },
    controllers: data.controllers,
    buckets: data.buckets,
    ...locatedTargets(data, located),
    secrets: mapSecrets(data.secrets, located),
  };
  checkIds(topology, refuse);
  checkSlots(topology, refuse);
  checkAddresses(topology, refuse);
  checkSecretSources(topology, refuse);
  return topology;
}

function locatedTargets(
  data: Partial<Record<(typeof PAYOUT_TARGETS)[number], PayoutTargetPlace | undefined>>,
  located: (path: string) => string,
): Pick<Topology, (typeof PAYOUT_TARGETS)[number]> {
  const targets: Pick<Topology, (typeof PAYOUT_TARGETS)[number]> = {};
  for (const name of PAYOUT_TARGETS) {
    const target = data[name];
    if (target === undefined) continue;
    const { secret } = target;
    targets[name] = { ...target, secret: "file" in secret ? { file: located(secret.file) } : secret };
  }
  return targets;
}

function mapSecrets(
  sources: Record<SecretName, SecretSource>,
  located: (path: string) => string,
): Record<SecretName, SecretSource> {
  const secrets = { ...sources };
  for (const name of SECRET_NAMES) {
    const source = sources[name];
    secrets[name] = "file" in source ? { file: located(source.file) } : source;
  }
  return secrets;
}

function checkIds(topology: Topology, refuse: Refuse): void {
  const once = (list: { id: string }[], field: FieldPath): void => {
    const seenAt = new Map<string, number>();
    list.forEach(({ id }, index) => {
      const first = seenAt.get(id);
      if (first !== undefined) {
        refuse(
          [...field, index, "id"],
          `found "${id}" again (also ${field.join(".")}[${first}]), expected a new id`,
        );
      }
      seenAt.set(id, index);
    });
  };
  once(topology.controllers, ["controllers"]);
  once(topology.buckets, ["buckets"]);
  topology.buckets.forEach((bucket, index) => {
    if (Array.isArray(bucket.services)) once(bucket.services, ["buckets", index, "services"]);
    once(bucket.persist, ["buckets", index, "persist"]);
    once(bucket.payout, ["buckets", index, "payout"]);
  });
}

function checkSlots(topology: Topology, refuse: Refuse): void {
  const owner = new Int16Array(SLOTS).fill(-1);
  topology.buckets.forEach((bucket, index) => {
    bucket.slots.forEach(([first, last], run) => {
      for (let slot = first; slot <= last; slot++) {
        if (owner[slot] !== -1) {
          const other = topology.buckets[owner[slot]!]!.id;
          const problem = `found slot ${slot} in bucket ${bucket.id}, expected it once: bucket ${other} has it`;
          refuse(["buckets", index, "slots", run], problem);
        }
        owner[slot] = index;
      }
    });
  });
  const missing = owner.indexOf(-1);
  if (missing === -1) return;
  const count = owner.filter((index) => index === -1).length;
  refuse(
    ["buckets"],
    `found ${count} slots in no bucket (first: ${missing}), expected every slot 0 to ${SLOTS - 1} once`,
  );
}

/** Two processes cannot listen on one address; a port copied twice is found here and not in the night. */
function checkAddresses(topology: Topology, refuse: Refuse): void {
  const seenAt = new Map<string, string>();
  const once = (address: string, field: FieldPath): void => {
    const first = seenAt.get(address);
    if (first !== undefined)
      refuse(field, `found ${address} again (also ${first}), expected an address of its own`);
    seenAt.set(address, field.join("."));
  };
  once(topology.balancer.listen, ["balancer", "listen"]);
  once(topology.balancer.admin, ["balancer", "admin"]);
  topology.controllers.forEach(({ admin }, index) => once(admin, ["controllers", index, "admin"]));
  topology.buckets.forEach((bucket, index) => {
    if (Array.isArray(bucket.services)) {
      bucket.services.forEach((service, n) => {
        for (const door of ["http", "spop", "admin"] as const) {
          once(service[door], ["buckets", index, "services", n, door]);
        }
      });
    }
    for (const role of ["persist", "payout"] as const) {
      bucket[role].forEach(({ admin }, n) => once(admin, ["buckets", index, role, n, "admin"]));
    }
  });
}

function checkSecretSources(topology: Topology, refuse: Refuse): void {
  const seenAt = new Map<string, string>();
  const once = (source: SecretSource, field: string[], expected: string): void => {
    const key = "env" in source ? `env ${source.env}` : `file ${source.file}`;
    const first = seenAt.get(key);
    if (first) refuse(field, `found ${key} again (also ${first}), expected ${expected}`);
    seenAt.set(key, field.join("."));
  };
  for (const name of SECRET_NAMES) once(topology.secrets[name], ["secrets", name], "six different secrets");
  for (const name of PAYOUT_TARGETS) {
    const target = topology[name];
    if (target !== undefined) once(target.secret, [name, "secret"], "a secret of its own");
  }
}

/** Buckets with their slots: of a topology or of a pack. */
export interface SlotOwners {
  buckets: { id: string; slots: [number, number][] }[];
}

/** All that the way from a slot to its bucket needs. */
export interface SlotRuns {
  buckets: { slots: [number, number][] }[];
}

const slotOwners = new WeakMap<object, Int16Array>();

/** The index of the bucket of every slot. */
export function bucketOfSlot({ buckets }: SlotRuns): Int16Array {
  const known = slotOwners.get(buckets);
  if (known) return known;
  const owners = new Int16Array(SLOTS).fill(-1);
  buckets.forEach(({ slots }, index) => {
    for (const [first, last] of slots) owners.fill(index, first, last + 1);
  });
  slotOwners.set(buckets, owners);
  return owners;
}

/** The index of a user's bucket. */
export function bucketOf(topology: SlotRuns, userId: string): number {
  return bucketOfSlot(topology)[slotOf(userId)]!;
}

/**
 * Where a process of this machine listens for `host:port`: $HONGBAO_LISTEN in place of the host, where it is set. In a container the
 * topology has names under which others find the process, and they may not be known before it runs.
 */
export function listenAddress(address: string): { host: string; port: number } {
  const colon = address.lastIndexOf(":");
  const host = address.slice(0, colon).replace(/^\[(.*)\]$/, "$1");
  return { host: globalThis.process.env.HONGBAO_LISTEN || host, port: Number(address.slice(colon + 1)) };
}
