/** The way in: HAProxy and its services, certificates, the public address, the users' tokens. */
import { readFileSync } from "node:fs";
import { X509Certificate } from "node:crypto";
import { connect } from "node:tls";
import { bucketOfSlot, isUserId, signToken, slotOf } from "@hongbao/preprocess";
import { siteIsElsewhere } from "../../haproxy/site-backend.ts";
import { agentsOf } from "../../haproxy/spoe.ts";
import { counted, listed, skipped, type Check, type Fault } from "./check.ts";
import { reasonOf, type Scene } from "./scene.ts";

const ASK_MS_MAX = 3_000;
/** The balancer asks a controller several times a second. */
const NEWS_MS_MAX = 3_000;
/** What is left of a certificate after the last closing: somebody has to look their wins up. */
const CERTIFICATE_DAYS_MIN = 3;
const DAY_MS = 86_400_000;

export const haproxy: Check = {
  id: "haproxy",
  what: "HAProxy runs, hears a controller, and finds every service at both doors",
  mend: "see BalancerDown in docs/runbook.md",
  run(scene) {
    const seen = scene.processes.find(({ kind }) => kind === "balancer")!;
    if (seen.state === null)
      return {
        faults: [
          {
            what: `the balancer does not answer at ${seen.admin}: ${seen.why}`,
            mend: "hongbao balancer run",
          },
        ],
        seen: "",
      };
    const faults: Fault[] = [];
    if (seen.state["state"] !== "running") faults.push({ what: "HAProxy does not run, its keeper does" });
    const heardMs = seen.state["heardMsAgo"];
    if (typeof heardMs !== "number" || heardMs > NEWS_MS_MAX)
      faults.push({
        what: `the balancer has not heard a controller ${typeof heardMs === "number" ? `for ${Math.round(heardMs / 1000)} s` : "yet"}`,
        mend: "see BalancerWithoutNews in docs/runbook.md",
      });
    const up = new Set(
      seen.gauges
        .filter(
          ({ name, labels, value }) =>
            name === "haproxy_server_status" && labels["state"] === "UP" && value === 1,
        )
        .map(({ labels }) => `${labels["proxy"] ?? ""}/${labels["server"] ?? ""}`),
    );
    let doors = 0;
    for (const { id, services } of scene.topology.buckets) {
      const backends = { HTTP: `bucket_${id}`, SPOP: agentsOf(id) };
      for (const [door, backend] of Object.entries(backends)) {
        const named = [...up].filter((name) => name.startsWith(`${backend}/`));
        doors += named.length;
        if (Array.isArray(services) && !scene.onAws) {
          const missing = services.filter((service) => !up.has(`${backend}/${service.id}`));
          if (missing.length === 0) continue;
          faults.push({
            what: `HAProxy does not reach ${listed(missing.map((service) => `${id}/${service.id}`))} at the ${door} door`,
            mend: "hongbao status; does the service answer, is the network between them open? Else POST /admin/reload at the balancer",
          });
        } else if (named.length < (Array.isArray(services) ? services.length : 1)) {
          faults.push({
            what: `HAProxy reaches ${named.length} services of bucket ${id} at the ${door} door, expected ${Array.isArray(services) ? services.length : "one at least"}`,
            mend: "is the security group between balancer and services open, and service discovery within reach?",
          });
        }
      }
    }
    return { faults, seen: `${counted(doors, "door")} of services up` };
  },
};

/** The moment after which nobody needs the way in any more. */
function endMs({ controllers }: Scene): number {
  const closings = controllers.flatMap(({ rounds }) => rounds.flatMap(({ closesAtMs }) => closesAtMs ?? []));
  return Math.max(Date.now(), ...closings);
}

export const certificates: Check = {
  id: "certificates",
  what: `certificates are valid now and until ${CERTIFICATE_DAYS_MIN} days after the last closing`,
  mend: "renew it, put it in its place, POST /admin/reload at the balancer",
  async run(scene) {
    const { tls, url, site } = scene.topology.balancer;
    const faults: Fault[] = [];
    const untils: string[] = [];
    const judge = (where: string, name: string | null, certificate: X509Certificate): void => {
      const [from, until] = [Date.parse(certificate.validFrom), Date.parse(certificate.validTo)];
      untils.push(new Date(until).toISOString().slice(0, 10));
      const needed = endMs(scene) + CERTIFICATE_DAYS_MIN * DAY_MS;
      if (until < Date.now()) faults.push({ what: `${where} has expired on ${certificate.validTo}` });
      else if (until < needed)
        faults.push({
          what: `${where} expires on ${certificate.validTo}, expected after ${new Date(needed).toISOString()}`,
        });
      if (from > Date.now()) faults.push({ what: `${where} is not valid before ${certificate.validFrom}` });
      if (
        name !== null &&
        certificate.checkHost(name) === undefined &&
        certificate.checkIP(name) === undefined
      )
        faults.push({
          what: `${where} is for ${certificate.subjectAltName ?? certificate.subject}, expected ${name}`,
        });
    };
    if (tls !== undefined) {
      try {
        judge(`the certificate ${tls.cert}`, null, new X509Certificate(readFileSync(tls.cert)));
      } catch (error) {
        // Elsewhere the balancer alone has the file; what it serves is looked at below.
        if (!scene.onAws)
          faults.push({ what: `${tls.cert} cannot be read as a certificate: ${reasonOf(error)}` });
      }
    }
    const addresses = new Set([url, ...(siteIsElsewhere(site) ? [site] : [])].map((each) => new URL(each)));
    for (const address of addresses) {
      if (address.protocol !== "https:") continue;
      try {
        judge(`the certificate at ${address.host}`, address.hostname, await served(address));
      } catch (error) {
        faults.push({
          what: `no TLS at ${address.host}: ${reasonOf(error)}`,
          mend: "is the balancer up, the name in DNS?",
        });
      }
    }
    if (untils.length === 0 && faults.length === 0) return skipped("no TLS in this topology");
    return { faults, seen: `valid until ${untils.sort()[0] ?? "?"}` };
  },
};

/** What a client gets to see, valid or not: judging is ours. */
function served({ hostname, port }: URL): Promise<X509Certificate> {
  return new Promise((resolve, reject) => {
    const socket = connect({
      host: hostname,
      port: Number(port || 443),
      servername: /^[\d.:[\]]+$/.test(hostname) ? "" : hostname,
      rejectUnauthorized: false,
      timeout: ASK_MS_MAX,
    });
    socket.once("secureConnect", () => {
      const certificate = socket.getPeerX509Certificate();
      socket.destroy();
      if (certificate) resolve(certificate);
      else reject(new Error("no certificate was sent"));
    });
    socket.once("timeout", () => socket.destroy(new Error("no answer in time")));
    socket.once("error", reject);
  });
}

export const startFiles: Check = {
  id: "start-files",
  what: "page, schedule and every start file come from their public address, without a key before its time",
  mend: "see BalancerDown in docs/runbook.md; on AWS: is the distribution deployed, do controllers publish?",
  async run(scene) {
    const { url } = scene.topology.balancer;
    const faults: Fault[] = [];
    const get = async (path: string): Promise<string> => {
      const response = await fetch(`${url}${path}`, { signal: AbortSignal.timeout(ASK_MS_MAX) });
      const text = await response.text();
      if (!response.ok) throw new Error(`answered ${response.status}`);
      return text;
    };
    const { event, rounds } = scene.pack.manifest;
    const checks: [string, (text: string) => string | null][] = [
      ["/", (text) => (/<html/i.test(text) ? null : "is no page")],
      [
        "/rounds.json",
        (text) => {
          const said = JSON.parse(text) as { event: string; rounds: { id: number }[] };
          if (said.event !== event.id) return `tells event ${said.event}, expected ${event.id}`;
          const ids = said.rounds.map(({ id }) => id).join(", ");
          const expected = rounds.map(({ id }) => id).join(", ");
          return ids === expected ? null : `tells the rounds ${ids}, expected ${expected}`;
        },
      ],
      ...rounds.map(({ id }): [string, (text: string) => string | null] => [
        `/start/${id}.js`,
        (text) => {
          const json = /^hongbaoStart\((\{.*\})\);\s*$/.exec(text)?.[1];
          if (json === undefined) return "is no start file";
          const { round, key } = JSON.parse(json) as { round: number; key: string | null };
          if (round !== id) return `is of round ${round}`;
          const state = scene.controllers[0]?.rounds.find((each) => each.round === id)?.state;
          return key !== null && state === "scheduled" ? "shows a key before the opening" : null;
        },
      ]),
    ];
    await Promise.all(
      checks.map(async ([path, judge]) => {
        try {
          const trouble = judge(await get(path));
          if (trouble !== null) faults.push({ what: `${url}${path} ${trouble}` });
        } catch (error) {
          faults.push({ what: `${url}${path}: ${reasonOf(error)}` });
        }
      }),
    );
    return { faults, seen: `${counted(checks.length, "file")} at ${url}` };
  },
};

/** A key that no round ever has: whoever is known is told `not_open`, and nothing is taken. */
const NO_KEY = "preflight";

export const tokens: Check = {
  id: "tokens",
  what: "a user of every bucket is known by their token all the way to a service",
  mend: "the secret token must be the same at the log-in service, HAProxy and the services: see SECURITY.md",
  async run(scene) {
    const { url } = scene.topology.balancer;
    const { manifest } = scene.pack;
    const closed = manifest.rounds.filter(({ id }) =>
      scene.controllers.some(({ rounds }) =>
        rounds.some((each) => each.round === id && each.state === "scheduled"),
      ),
    );
    const round = closed[0]?.id;
    if (round === undefined) return skipped("no round that has not opened yet");
    const owners = bucketOfSlot(scene.topology);
    const expSeconds = Math.floor(Date.now() / 1000) + 60;
    const faults: Fault[] = [];
    await Promise.all(
      scene.topology.buckets.map(async ({ id }, index) => {
        const user = someUserOf(owners, index);
        const token = signToken(user, scene.secrets.token[0]!, expSeconds);
        try {
          const response = await fetch(`${url}/v1/rounds/${round}/grab?k=${NO_KEY}`, {
            method: "POST",
            headers: { authorization: `Bearer ${token}` },
            signal: AbortSignal.timeout(ASK_MS_MAX),
          });
          const { result } = (await response.json()) as { result: string };
          // Who it is does not matter: a user of the list is told not_open, another one not_eligible.
          if (result === "not_open" || result === "not_eligible") return;
          faults.push({
            what: `a grab in bucket ${id} with a wrong key is answered ${response.status} ${result}, expected 403 not_open`,
            ...(result === "busy"
              ? { mend: `hongbao status: bucket ${id} cannot answer (GrabsBusy in docs/runbook.md)` }
              : {}),
          });
        } catch (error) {
          faults.push({
            what: `a grab in bucket ${id} at ${url}: ${reasonOf(error)}`,
            mend: "hongbao status",
          });
        }
      }),
    );
    return { faults, seen: `asked round ${round} in ${listed(scene.topology.buckets.map(({ id }) => id))}` };
  },
};

/** A made-up user whose slot is the bucket's. */
function someUserOf(owners: Int16Array, bucket: number): string {
  for (let n = 0; ; n += 1) {
    const user = `preflight-${n}`;
    if (isUserId(user) && owners[slotOf(user)] === bucket) return user;
  }
}
