/**
 * `hongbao shadow hold|wipe`: what `rehearse --shadow` runs. A rehearsal's round on the real way: the same HAProxy, services, stores
 * and controllers, under an event of its own that cannot pay (preprocess/src/shadow.ts).
 *
 *     refused? ──> leftovers wiped ──> loaded ──> leases given ──> opened ──told──> held ⟲ renewed ──> closed, dropped, wiped
 *
 * Killed anywhere: the leases run out, every process forgets it; what stands in the stores bears its name and is wiped by the
 * next one, or by `rehearse --wipe`.
 */
import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { loadPack, shadowPolicy, shadowRemains } from "@hongbao/bucket-service";
import {
  BadInput,
  durationMs,
  keyUnder,
  openPack,
  print,
  printJson,
  readSecrets,
  s3Place,
  say,
  SHADOW_EVENT,
  shadowPack,
  shadowRoundId,
  Unreachable,
  type Pack,
  type ShadowSpec,
  type Topology,
} from "@hongbao/preprocess";
import { z } from "zod";
import { clearControlStore, deleteS3 } from "../control/clear.ts";
import { openControlStore } from "../control/open.ts";
import { stopSignal } from "../listen.ts";
import { openControllers, type Controllers, type Where } from "./controllers.ts";
import { byDefault, readRound } from "./round.ts";

export interface ShadowHoldOptions extends Where {
  like?: string;
  prizes?: string;
  clear: string;
  by?: string;
}

export interface ShadowWipeOptions extends Where {
  json?: boolean;
}

const LEASE_MS = 10_000;
const RENEW_MS = 2_000;
const ASK_MS_MAX = 5_000;
/** A lease that nobody renews is over by then. */
const LEASE_OVER_MS_MAX = LEASE_MS + 5_000;
const READY_MS_MAX = 60_000;
const POLL_MS = 200;
/** Several balancers may answer in turn: so often in a row each must know the round. */
const KNOWN_IN_A_ROW = 10;
const PRIZES_MAX = 10_000_000;

const specOf = z.object({ spec: z.object({ run: z.string() }).nullable() });
const stateOf = z.object({
  state: z.string(),
  published: z.boolean(),
  buckets: z.array(z.object({ id: z.string(), reachable: z.boolean() })),
});

/** What a rehearsal acts on. */
interface Stage {
  topology: Topology;
  controllers: Controllers;
  pack: Pack;
  /** Admin ports of whoever serves it; the controllers last. */
  processes: { name: string; admin: string }[];
  operator: string;
}

function openStage(where: Where): Stage {
  const controllers = openControllers(where);
  const { topology } = controllers;
  const { operator } = readSecrets(topology, ["operator"]);
  const ofBuckets = topology.buckets.flatMap(({ id, services, persist }) => {
    if (!Array.isArray(services))
      throw new Unreachable(`no service of bucket ${id} was found under ${services.discover}`);
    return [...services, ...persist].map((each) => ({ name: `${id}/${each.id}`, admin: each.admin }));
  });
  const ofConductor = topology.controllers.map(({ id, admin }) => ({ name: `controller ${id}`, admin }));
  const pack = openPack(topology.pack, { verify: false });
  return { topology, controllers, pack, operator, processes: [...ofBuckets, ...ofConductor] };
}

async function call(
  stage: Stage,
  admin: string,
  method: string,
  path: string,
  body?: unknown,
): Promise<unknown> {
  const response = await fetch(`http://${admin}${path}`, {
    method,
    headers: { authorization: `Bearer ${stage.operator}` },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    signal: AbortSignal.timeout(ASK_MS_MAX),
  }).catch((error: Error) => {
    throw new Unreachable(`${admin}: ${(error.cause as Error | undefined)?.message || error.message}`);
  });
  const answer = (await response.json().catch(() => null)) as { error?: string } | null;
  if (response.ok) return answer;
  const said = `${admin}: ${answer?.error ?? `answered ${response.status}`}`;
  if (response.status === 409 || response.status === 400) throw new BadInput(said);
  throw new Unreachable(said);
}

/** Holds a rehearsal until its caller goes away. Throws BadInput when this is no time for one, Unreachable. */
export async function runShadowHold(options: ShadowHoldOptions): Promise<void> {
  const ended = endOfCaller();
  try {
    await holdUntil(ended, options);
  } finally {
    // Else a refusal would wait for its reader.
    process.stdin.destroy();
  }
}

async function holdUntil(ended: Promise<void>, options: ShadowHoldOptions): Promise<void> {
  const stage = openStage(options);
  const spec = await chooseSpec(stage, options);
  await untilNobodyHolds(stage);
  const shadow = shadowPack(stage.pack, spec);
  const [round] = shadow.manifest.rounds;
  const by = options.by ?? byDefault();
  const { id: event } = stage.pack.manifest.event;
  say(
    `Rehearsal beside event ${event}: round ${round!.id} like round ${spec.like}, ${spec.count} prizes worth nothing ` +
      `(${stage.topology.path})`,
  );
  try {
    await wipeStores(stage);
    await loadPack({ pack: shadow, topology: stage.topology, secrets: readSecrets(stage.topology) });
    await give(stage, spec);
    const lost = keepGiving(stage, spec, ended);
    await untilReady(stage, round!.id);
    await ofController(stage, "POST", "/open", { by, why: "rehearsal" });
    await log(stage, by, `a rehearsal begins: round ${round!.id}, ${spec.count} prizes worth nothing`);
    printJson({
      spec,
      round: { id: round!.id, kind: round!.kind, perUser: round!.perUser, count: spec.count },
      event: SHADOW_EVENT,
    });
    const why = await Promise.race([ended.then(() => null), lost]);
    if (why !== null) throw new Unreachable(`the rehearsal was ended: ${why}`);
  } finally {
    await end(stage, by);
    stage.pack.close();
  }
}

/** Resolves when we are told to end, or whoever started us has closed our input. */
function endOfCaller(): Promise<void> {
  const closed = new Promise<void>((resolve) => {
    if (process.stdin.isTTY) return;
    process.stdin.on("end", resolve).on("error", () => resolve());
    process.stdin.resume();
  });
  return Promise.race([stopSignal().then(() => undefined), closed]);
}

/** Throws BadInput: a real round is open or near, or an option is wrong. */
async function chooseSpec(stage: Stage, options: ShadowHoldOptions): Promise<ShadowSpec> {
  const clearMs = durationMs(options.clear);
  if (clearMs === null || clearMs < shadowPolicy.clearMs)
    throw new BadInput(
      `--clear: found "${options.clear}", expected ${shadowPolicy.clearMs / 1000}s or more, such as 10m`,
    );
  const { rounds, nowMs } = await stage.controllers.state();
  for (const { round, state, opensAtMs } of rounds) {
    if (state === "open") throw new BadInput(`no rehearsal now: round ${round} is open`);
    if (state !== "scheduled" || opensAtMs === null || opensAtMs - (nowMs ?? Date.now()) >= clearMs) continue;
    const when = new Date(opensAtMs).toISOString();
    throw new BadInput(
      `no rehearsal now: round ${round} opens at ${when}, within ${options.clear} (--clear)`,
    );
  }
  const planned = stage.pack.manifest.rounds;
  const like = options.like === undefined ? planned[0]!.id : readRound(options.like);
  const found = planned.find(({ id }) => id === like);
  if (found === undefined)
    throw new BadInput(`--like: found ${like}, expected one of ${planned.map(({ id }) => id).join(", ")}`);
  const count = options.prizes === undefined ? Math.min(found.count, PRIZES_MAX) : Number(options.prizes);
  if (!Number.isInteger(count) || count < 1 || count > PRIZES_MAX)
    throw new BadInput(`--prizes: found "${options.prizes ?? ""}", expected 1 to ${PRIZES_MAX}`);
  return { run: randomBytes(8).toString("hex"), like, count };
}

/** Waits for leases that nobody renews. Throws BadInput while another rehearsal is held. */
async function untilNobodyHolds(stage: Stage): Promise<void> {
  const deadline = performance.now() + LEASE_OVER_MS_MAX;
  for (;;) {
    const held = await Promise.all(
      stage.processes.map(({ admin }) =>
        call(stage, admin, "GET", "/admin/shadow").then(
          (answer) => specOf.parse(answer).spec?.run ?? null,
          () => null,
        ),
      ),
    );
    const run = held.find((each) => each !== null);
    if (run === undefined) return;
    if (performance.now() > deadline)
      throw new BadInput(`another rehearsal (${run}) is under way: wait for its end, or stop its command`);
    await sleep(POLL_MS);
  }
}

/** Everybody must take it: a bucket that is missing would not be rehearsed. */
async function give(stage: Stage, spec: ShadowSpec): Promise<void> {
  await Promise.all(
    stage.processes.map(({ admin }) =>
      call(stage, admin, "PUT", "/admin/shadow", { spec, leaseMs: LEASE_MS }),
    ),
  );
}

/** Renews until `ended`; resolves early, with the reason, when somebody refuses: a real round is near. */
async function keepGiving(stage: Stage, spec: ShadowSpec, ended: Promise<void>): Promise<string> {
  let isOver = false;
  void ended.then(() => (isOver = true));
  for (;;) {
    await Promise.race([sleep(RENEW_MS), ended]);
    if (isOver) return new Promise(() => undefined);
    try {
      await give(stage, spec);
    } catch (error) {
      // One that is away may come back, and is told again then.
      if (error instanceof BadInput) return error.message;
    }
  }
}

async function ofController(stage: Stage, method: string, path: string, body?: unknown): Promise<unknown> {
  const failures: string[] = [];
  for (const { admin } of stage.topology.controllers) {
    try {
      return await call(stage, admin, method, `/shadow/admin${path}`, body);
    } catch (error) {
      failures.push((error as Error).message);
    }
  }
  throw new Unreachable(failures.join("; "));
}

/** Every bucket is seen by the conductor, and HAProxy has heard of the round. Errors: Unreachable. */
async function untilReady(stage: Stage, round: number): Promise<void> {
  const deadline = performance.now() + READY_MS_MAX;
  let missing = "";
  let known = 0;
  while (performance.now() < deadline) {
    const { state, buckets } = stateOf.parse(await ofController(stage, "GET", "/state"));
    const away = buckets.filter(({ reachable }) => !reachable).map(({ id }) => id);
    // Without a token: 401 where the round is known, 404 where it is not.
    const url = `${stage.topology.balancer.url}/v1/rounds/${round}/grab?k=none`;
    const status = await fetch(url, { method: "POST", signal: AbortSignal.timeout(ASK_MS_MAX) }).then(
      async (response) => (await response.body?.cancel(), response.status),
      () => 0,
    );
    known = status === 401 || status === 429 ? known + 1 : 0;
    missing = away.length > 0 ? `bucket ${away.join(", ")}` : `HAProxy (it answers ${status})`;
    if (state === "scheduled" && away.length === 0 && known >= KNOWN_IN_A_ROW) return;
    if (known === 0 || away.length > 0) await sleep(POLL_MS);
  }
  throw new Unreachable(`the rehearsal did not come up: ${missing} does not know it`);
}

/** Whatever fails here is wiped by the next one. */
async function end(stage: Stage, by: string): Promise<void> {
  await ofController(stage, "POST", "/close", { by, why: "rehearsal" }).catch(() => undefined);
  await dropEverywhere(stage);
  const found = await wipeStores(stage);
  await log(stage, by, `the rehearsal is over and wiped (${found.join(", ") || "nothing was there"})`);
}

/** The conductor first: nobody installs anything any more when its buckets forget it. */
async function dropEverywhere(stage: Stage): Promise<void> {
  for (const { admin } of stage.processes.toReversed())
    await call(stage, admin, "DELETE", "/admin/shadow").catch(() => undefined);
}

async function log(stage: Stage, by: string, what: string): Promise<void> {
  await stage.controllers.post("/admin/log", { by, what, why: "" }).catch(() => undefined);
}

/** Takes away what bears the shadow's name, in stores, control store and published files. Errors: Unreachable. */
async function wipeStores({ topology, pack }: Stage): Promise<string[]> {
  const secrets = readSecrets(topology, ["redis", "mysql"]);
  const found: string[] = [];
  for (const bucket of topology.buckets) {
    const { database, keys } = await shadowRemains(bucket, secrets, { wipe: true });
    if (database) found.push(`database of ${bucket.id}`);
    if (keys > 0) found.push(`${keys} keys of ${bucket.id}`);
  }
  const store = await openControlStore(topology.control);
  const records = await store.list(`${SHADOW_EVENT}/`);
  if (records.length > 0) found.push(`${records.length} control records`);
  await clearControlStore(topology.control, SHADOW_EVENT);
  const { publish } = topology.balancer;
  if (publish !== undefined) {
    const place = s3Place(publish);
    await deleteS3(place.bucket, keyUnder(place, `start/${shadowRoundId(pack.manifest)}.js`));
  }
  return found;
}

/** After a rehearsal that was killed. Throws BadInput while one is held. */
export async function runShadowWipe(options: ShadowWipeOptions): Promise<void> {
  const stage = openStage(options);
  try {
    await untilNobodyHolds(stage);
    await dropEverywhere(stage);
    const found = await wipeStores(stage);
    if (found.length > 0)
      await log(stage, byDefault(), `wiped what a rehearsal had left: ${found.join(", ")}`);
    if (options.json) printJson({ found });
    else print(found.length === 0 ? "nothing was left of a rehearsal" : `wiped: ${found.join(", ")}`);
  } finally {
    stage.pack.close();
  }
}
