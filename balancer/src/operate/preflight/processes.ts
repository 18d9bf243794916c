/** The processes: all there, all of one pack, with room for what they have to open, and their clocks. */
import { counted, listed, type Check, type Fault } from "./check.ts";
import { gauge } from "./gauges.ts";
import type { Scene, SeenProcess } from "./scene.ts";

/** A service behind HAProxy holds a connection for each request under way, and the SPOP door's. */
const SERVICE_FILES_MIN = 4_096;
/** Rounds open by the buckets' clocks; ClockOff alerts at the same. */
const STORE_CLOCK_MS_MAX = 1_000;
/** Tokens end, switches return by a machine's clock; the header that it is read from says whole seconds. */
const MACHINE_CLOCK_MS_MAX = 2_500;

const there = ({ processes }: Scene): SeenProcess[] => processes.filter(({ state }) => state !== null);

export const processes: Check = {
  id: "processes",
  what: "every process of the topology answers, and every bucket has services, persist and payout",
  mend: "hongbao status",
  run(scene) {
    const faults: Fault[] = scene.processes
      .filter(({ state, kind }) => state === null && kind !== "controller" && kind !== "balancer")
      .map(({ name, admin, why, kind, bucket, id }) => ({
        what: `${name} does not answer at ${admin}: ${why}`,
        mend: `hongbao bucket --bucket ${bucket!} --service ${id} --roles ${kind === "service" ? "grab" : kind}   (or see its log: why does it end?)`,
      }));
    for (const { id } of scene.topology.buckets) {
      const kinds = ["service", "persist", "payout"] as const;
      for (const kind of kinds) {
        if (scene.processes.some((each) => each.bucket === id && each.kind === kind)) continue;
        faults.push({ what: `bucket ${id} has no ${kind} process in the topology, expected one at least` });
      }
    }
    for (const { place, states } of scene.buckets) {
      const fenced = states.find(({ fenced }) => fenced !== null);
      if (fenced === undefined) continue;
      faults.push({
        what: `bucket ${place.id} is fenced: ${fenced.fenced!}`,
        mend: `hongbao rebuild --bucket ${place.id}`,
      });
    }
    return { faults, seen: counted(there(scene).length, "process") };
  },
};

export const controllers: Check = {
  id: "controllers",
  what: "every controller answers, one leads, the control store works",
  mend: "hongbao controller --id ID",
  run({ processes, controllers }) {
    const faults: Fault[] = processes
      .filter(({ kind, state }) => kind === "controller" && state === null)
      .map(({ id, admin, why }) => ({
        what: `controller ${id} does not answer at ${admin}: ${why}; rounds open while one is there, but then there is no second`,
        mend: `hongbao controller --id ${id}`,
      }));
    const leading = controllers.filter(({ leading }) => leading);
    if (controllers.length > 0 && leading.length !== 1)
      faults.push({ what: `${leading.length} controllers lead, expected one`, mend: "hongbao watch" });
    for (const { id, store } of controllers) {
      if (store === "ok") continue;
      faults.push({
        what: `controller ${id} does not reach the control store`,
        mend: "see ControlStoreDown in docs/runbook.md",
      });
    }
    return {
      faults,
      seen: `${counted(controllers.length, "controller")}, ${leading[0]?.id ?? "none"} leads`,
    };
  },
};

export const packs: Check = {
  id: "pack",
  what: "every process has the same pack as the topology",
  mend: "bring the pack to that process's machine and start the process again",
  run(scene) {
    const { digest, manifest, prizeCount } = scene.pack;
    const faults = there(scene).flatMap(({ name, kind, state }): Fault[] => {
      const found = state!["packDigest"];
      if (found === digest) return [];
      const has = typeof found === "string" ? `pack ${found.slice(0, 12)}` : "no pack";
      const mend =
        kind === "balancer"
          ? "POST /admin/reload at the balancer's admin port, or start it again"
          : `start ${name} again with the topology's pack (${scene.topology.packFrom ?? scene.topology.pack})`;
      return [{ what: `${name} runs with ${has}, expected ${digest.slice(0, 12)}`, mend }];
    });
    const { id } = manifest.event;
    return { faults, seen: `event ${id}, pack ${digest.slice(0, 12)}, ${counted(prizeCount, "prize")}` };
  },
};

export const files: Check = {
  id: "files",
  what: "open-file limits hold the connections that come",
  mend: "ulimit -n 65535 (nofile of the task) and start the process again",
  run(scene) {
    const faults: Fault[] = [];
    const services = there(scene).filter(({ kind }) => kind === "service");
    for (const { name, gauges } of services) {
      const most = gauge(gauges, "process_max_fds");
      if (most === null || most >= SERVICE_FILES_MIN) continue;
      faults.push({ what: `${name} may open ${most} files, expected ${SERVICE_FILES_MIN} or more` });
    }
    const users = scene.pack.manifest.buckets.reduce((sum, bucket) => sum + bucket.users, 0);
    const wanted = Number(scene.options.connections ?? users);
    const balancers = Math.max(1, scene.controllers[0]?.balancers.length ?? 1);
    const bound = scene.processes
      .filter(({ kind }) => kind === "balancer")
      .map(({ gauges }) => gauge(gauges, "haproxy_process_max_connections"))[0];
    if (typeof bound === "number" && bound * balancers < wanted) {
      faults.push({
        what:
          `${counted(balancers, "HAProxy")} with ${bound} connections each, expected room for ${wanted} ` +
          (scene.options.connections === undefined
            ? "(one for each user; --connections says otherwise)"
            : "(--connections)"),
        mend: "more balancers, or a higher file limit (2 for each connection) and a restart of the balancer",
      });
    }
    return { faults, seen: `HAProxy takes ${bound ?? "?"} connections, ${wanted} may come` };
  },
};

export const clocks: Check = {
  id: "clocks",
  what: "clocks of stores and machines agree",
  mend: "set the clock of that machine (chronyc makestep, or timedatectl set-ntp true)",
  run(scene) {
    const faults: string[] = [];
    const ahead = (ms: number): string =>
      `${(Math.abs(ms) / 1000).toFixed(1)} s ${ms < 0 ? "behind" : "ahead"}`;
    for (const { name, clockAheadMs } of there(scene)) {
      if (clockAheadMs === null || Math.abs(clockAheadMs) <= MACHINE_CLOCK_MS_MAX) continue;
      faults.push(`the clock of ${name} is ${ahead(clockAheadMs)} of this machine's, expected at most 2 s`);
    }
    const stores = scene.buckets.flatMap(({ place, redis, mysql }) => [
      ...(redis instanceof Error ? [] : [{ name: `Redis ${place.id}`, aheadMs: redis.clockAheadMs }]),
      ...(mysql instanceof Error ? [] : [{ name: `MySQL ${place.id}`, aheadMs: mysql.clockAheadMs }]),
    ]);
    for (const { name, aheadMs } of stores) {
      if (Math.abs(aheadMs) <= STORE_CLOCK_MS_MAX) continue;
      faults.push(`the clock of ${name} is ${ahead(aheadMs)} of this machine's, expected at most 1 s`);
    }
    const most = Math.max(0, ...stores.map(({ aheadMs }) => Math.abs(aheadMs)));
    return { faults, seen: `stores within ${most} ms of this machine, machines within 2 s` };
  },
};

export const journal: Check = {
  id: "journal",
  what: "no claim waits for MySQL before an opening",
  mend: "see JournalNotDraining in docs/runbook.md: the log of persist says what it tries again",
  run({ controllers, buckets, pack }) {
    const isOpen = controllers.some(({ rounds }) => rounds.some(({ state }) => state === "open"));
    const most = isOpen ? Math.floor(pack.manifest.event.journalMax / 2) : 0;
    const waiting = buckets.map(({ place, states }) => ({
      id: place.id,
      rows: Math.min(...states.map(({ journal }) => journal.waiting), Infinity),
    }));
    const faults = waiting
      .filter(({ rows }) => Number.isFinite(rows) && rows > most)
      .map(
        ({ id, rows }) =>
          `${counted(rows, "claim")} of bucket ${id} ${rows === 1 ? "waits" : "wait"} in its journal, expected ${most === 0 ? "none" : `${most} at most`}`,
      );
    const sum = waiting.reduce((all, { rows }) => all + (Number.isFinite(rows) ? rows : 0), 0);
    return { faults, seen: `${counted(sum, "claim")} waiting in ${listed(waiting.map(({ id }) => id))}` };
  },
};
