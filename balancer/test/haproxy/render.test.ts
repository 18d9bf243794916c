import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { STOCK_HEADER } from "@hongbao/bucket-service";
import type { Topology } from "@hongbao/preprocess";
import { BUSY_PAGE } from "../../src/haproxy/answers.ts";
import { MAPS, slotsMap } from "../../src/haproxy/maps.ts";
import { Master } from "../../src/haproxy/master.ts";
import { connectionsFor, POLICY } from "../../src/haproxy/policy.ts";
import { render, TOKEN_KEY, TOKEN_KEY_PREVIOUS, type RoundRules } from "../../src/haproxy/render.ts";
import { spoeFile } from "../../src/haproxy/spoe.ts";
import { KEY, PREVIOUS_KEY } from "./harness.ts";

const service = (id: string, port: number) => ({
  id,
  http: `10.0.0.1:${port}`,
  spop: `10.0.0.1:${port + 1}`,
  admin: `10.0.1.1:${port + 2}`,
});
const store = {
  redis: { url: "redis://10.0.0.1:1", tls: false, cluster: false },
  mysql: { url: "mysql://u@10.0.0.1:2", tls: false },
};
const topology: Topology = {
  path: "/etc/hongbao/topology.yaml",
  slots: 1024,
  pack: "/var/lib/hongbao/pack",
  control: "/var/lib/hongbao/control",
  balancer: {
    listen: "0.0.0.0:8080",
    url: "http://hongbao.example:8080",
    admin: "10.0.0.9:9000",
    site: "http://10.0.0.9:9001",
  },
  controllers: [{ id: "c0", admin: "10.0.0.9:9002" }],
  buckets: [
    {
      id: "b0",
      slots: [
        [0, 99],
        [600, 1023],
      ],
      ...store,
      services: [service("s0", 7000), service("s1", 7010)],
      persist: [],
      payout: [],
    },
    { id: "b-1", slots: [[100, 599]], ...store, services: [service("s0", 7020)], persist: [], payout: [] },
  ],
  secrets: {} as Topology["secrets"],
};
const rounds: RoundRules[] = [
  { id: 1, perUser: 1, groups: null },
  { id: 2, perUser: 3, groups: ["staff"] },
  { id: 3, perUser: 1, groups: null },
];

/** Throws with HAProxy's words when it refuses the text. */
async function check(text: string, from: Topology, keys: Record<string, string>): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), "hongbao-render-"));
  try {
    mkdirSync(join(dir, "maps"));
    for (const map of Object.values(MAPS)) writeFileSync(join(dir, map), "");
    writeFileSync(join(dir, BUSY_PAGE.name), BUSY_PAGE.text);
    writeFileSync(join(dir, MAPS.slots), slotsMap(from));
    const spoe = spoeFile(from.buckets);
    writeFileSync(join(dir, spoe.name), spoe.text);
    writeFileSync(join(dir, "haproxy.cfg"), text);
    await new Master({ dir, keys }).check();
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

t.test("the text is the one that was looked at", (t) => {
  const path = join(import.meta.dirname, "rendered.cfg");
  const text = render(topology, { rounds }, { threads: 2, connectionsMax: 5_000 });
  if (process.env.HONGBAO_UPDATE === "1") writeFileSync(path, text);
  t.equal(
    text,
    readFileSync(path, "utf8"),
    "after a wanted change: HONGBAO_UPDATE=1 and read the difference",
  );
  t.equal(
    render(topology, { rounds }, { threads: 2, connectionsMax: 5_000 }),
    text,
    "nothing but the arguments counts",
  );
  t.end();
});

t.test(
  "HAProxy takes it: with one key and two, without a pack, with TLS, IPv6, many buckets, a site elsewhere",
  async (t) => {
    const dir = mkdtempSync(join(tmpdir(), "hongbao-cert-"));
    t.teardown(() => rmSync(dir, { recursive: true, force: true }));
    const cert = join(dir, "site.pem");
    execFileSync(
      "openssl",
      [
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-subj",
        "/CN=hongbao.example",
        "-keyout",
        join(dir, "key"),
        "-out",
        join(dir, "crt"),
        "-days",
        "2",
      ],
      { stdio: "ignore" },
    );
    writeFileSync(cert, readFileSync(join(dir, "crt"), "utf8") + readFileSync(join(dir, "key"), "utf8"));
    const one = { [TOKEN_KEY]: KEY };
    const { balancer } = topology;
    const many = Array.from({ length: 64 }, (_, n) => ({
      ...topology.buckets[0]!,
      id: `b${n}`,
      slots: [[n * 16, n * 16 + 15]] as [number, number][],
    }));
    const all = Array.from({ length: 99 }, (_, n) => ({
      id: n + 1,
      perUser: (n % 5) + 1,
      groups: n % 2 ? null : ["x"],
    }));
    const cases: [string, Topology, { rounds: RoundRules[] } | null, Record<string, string>][] = [
      ["plain", topology, { rounds }, one],
      ["two keys", topology, { rounds }, { ...one, [TOKEN_KEY_PREVIOUS]: PREVIOUS_KEY }],
      ["no pack", topology, null, one],
      [
        "TLS",
        { ...topology, balancer: { ...balancer, url: "https://hongbao.example", tls: { cert } } },
        { rounds },
        one,
      ],
      [
        "a site elsewhere",
        { ...topology, balancer: { ...balancer, site: "https://cdn.example" } },
        { rounds },
        one,
      ],
      [
        "IPv6",
        {
          ...topology,
          balancer: { ...balancer, listen: "[::1]:8080" },
          buckets: topology.buckets.map((bucket) => ({
            ...bucket,
            services: [{ id: "s0", http: "[::1]:7000", spop: "[::1]:7001", admin: "[::1]:7002" }],
          })),
        },
        null,
        one,
      ],
      ["every address", { ...topology, balancer: { ...balancer, listen: "*:8080" } }, null, one],
      ["64 buckets, 99 rounds", { ...topology, buckets: many }, { rounds: all }, one],
    ];
    for (const [what, from, manifest, keys] of cases)
      await t.resolves(check(render(from, manifest), from, keys), what);
    await t.rejects(check(`${render(topology)}\nnonsense\n`, topology, one), {
      exitCode: 2,
      message: /nonsense/,
    });
  },
);

t.test("nothing secret stands in it, and nothing of the admin side is public", (t) => {
  const text = render(topology, { rounds });
  t.notMatch(text, /[0-9a-f]{32}/);
  t.notMatch(text, /stats (uri|enable|auth)/);
  const frontend = text.slice(text.indexOf("frontend public"), text.indexOf("backend site"));
  t.notMatch(frontend, /prometheus|admin|10\.0\.1\.1/);
  t.match(text, `res.hdr(${STOCK_HEADER})`);
  t.end();
});

t.test("slots: each once, to its bucket", (t) => {
  const lines = slotsMap(topology).trim().split("\n");
  t.equal(lines.length, 1024);
  t.equal(lines[0], "0 b0");
  t.equal(lines[100], "100 b-1");
  t.equal(lines[1023], "1023 b0");
  t.end();
});

t.test("what it cannot do it refuses", (t) => {
  t.throws(() => render(topology, null, { threads: 0 }), { exitCode: 2, message: /threads: found 0/ });
  t.throws(() => render(topology, null, { connectionsMax: 1.5 }), { exitCode: 2, message: /1\.5/ });
  t.end();
});

t.test("connections fit the limit of open files", (t) => {
  for (const files of [1_024, 20_000, 65_535, 1_048_576])
    t.ok(2 * connectionsFor(files, 100) + 300 <= files, String(files));
  t.equal(connectionsFor(10, 4), 100, "a limit that is too small is HAProxy's to complain about");
  t.ok(POLICY.connectionsMax <= connectionsFor(20_000, 1_000));
  t.end();
});

t.test("HAProxy asks the agents unless their door is left out", async (t) => {
  const text = render(topology, { rounds }, { threads: 2 });
  t.match(text, /filter spoe engine spoe_b-1 config spoe-[0-9a-f]{12}\.cfg/);
  t.match(text, /backend agents_b-1\n/);
  const without = render(topology, { rounds }, { threads: 2, door: "http" });
  t.notMatch(without, /spoe|agents_/);
  await t.resolves(check(without, topology, { [TOKEN_KEY]: KEY }));
});
