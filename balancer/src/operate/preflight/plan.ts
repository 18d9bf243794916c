/** What is to happen: the schedule, the switches, the money's way out, the disks, whoever is told. */
import { accessSync, constants } from "node:fs";
import { statfs } from "node:fs/promises";
import { dirname } from "node:path";
import { connect } from "node:net";
import { z } from "zod";
import { PAYOUT_TARGETS, readTargetSecret } from "@hongbao/preprocess";
import { settingLine } from "../switch-words.ts";
import { counted, listed, skipped, type Check, type Fault } from "./check.ts";
import { reasonOf } from "./scene.ts";
import { mib } from "./stores.ts";

const CONNECT_MS_MAX = 3_000;
const ASK_MS_MAX = 5_000;
const DISK_BYTES_MIN = 1_073_741_824;
const DISK_PART_MIN = 0.1;

export const schedule: Check = {
  id: "schedule",
  what: "every bucket has the newest times of every round, and a round is still to come",
  mend: "hongbao round list",
  run({ controllers, pack }) {
    const best = controllers[0];
    if (best === undefined) return { faults: ["no controller tells the schedule"], seen: "" };
    const faults: Fault[] = [];
    for (const { id } of pack.manifest.rounds) {
      const round = best.rounds.find((each) => each.round === id);
      if (round === undefined) {
        faults.push({
          what: `round ${id} is not known to the controllers yet: its buckets have not answered`,
        });
        continue;
      }
      const behind = round.buckets.filter(({ current }) => !current).map((bucket) => bucket.id);
      if (behind.length > 0)
        faults.push({
          what: `round ${id}: ${listed(behind)} ${behind.length === 1 ? "has" : "have"} other times than the control store`,
          mend: "hongbao status",
        });
    }
    const toCome = best.rounds.filter(({ state }) => state !== "closed");
    if (toCome.length === 0) faults.push({ what: "every round is closed: there is nothing to go for" });
    const openings = toCome.flatMap(({ opensAtMs }) => opensAtMs ?? []).filter((ms) => ms > Date.now());
    const when =
      openings.length > 0
        ? `the next opening is ${new Date(Math.min(...openings)).toISOString()}`
        : "by command";
    return { faults, seen: `${counted(toCome.length, "round")} to come, ${when}` };
  },
};

const wordSchema = z.object({
  v: z.number(),
  processes: z.array(z.object({ bucket: z.string(), id: z.string(), v: z.number().nullable() })),
});

export const switches: Check = {
  id: "switches",
  what: "every switch is at its default, and everybody obeys the same word",
  mend: "hongbao switch list",
  async run({ controllers, processes, secrets }) {
    const best = controllers[0];
    if (best === undefined) return { faults: ["no controller tells what is set"], seen: "" };
    const nowMs = best.nowMs ?? Date.now();
    const faults: Fault[] = best.switches.map((setting) => ({
      what: settingLine(setting, nowMs),
      mend: `hongbao switch clear ${setting.name}${setting.bucket === null ? "" : ` --bucket ${setting.bucket}`}`,
    }));
    for (const { id, v } of best.balancers)
      if (v === null)
        faults.push({ what: `HAProxy ${id} is not heard`, mend: "see BalancerDown in docs/runbook.md" });
    const { admin } = processes.find(({ kind, id }) => kind === "controller" && id === best.id)!;
    const response = await fetch(`http://${admin}/admin/switches`, {
      headers: { authorization: `Bearer ${secrets.operator}` },
      signal: AbortSignal.timeout(ASK_MS_MAX),
    });
    const word = wordSchema.parse(await response.json());
    for (const { bucket, id, v } of word.processes)
      if (v !== null && v < word.v)
        faults.push({
          what: `${bucket}/${id} obeys version ${v} of the switches, expected ${word.v}`,
          mend: "hongbao status: is the network from the controllers to its admin port open?",
        });
    return { faults, seen: `all at default, ${counted(best.balancers.length, "HAProxy")} heard` };
  },
};

export const payout: Check = {
  id: "payout",
  what: "who pays can be reached",
  mend: "call whoever runs it; payouts wait meanwhile and nothing is lost",
  async run({ topology }) {
    const named = PAYOUT_TARGETS.filter((name) => topology[name] !== undefined);
    if (named.length === 0) return { faults: [], seen: "the built-in ledger and order book" };
    const faults: Fault[] = [];
    await Promise.all(
      named.map(async (name) => {
        const { url } = topology[name]!;
        try {
          readTargetSecret(topology, name);
        } catch (error) {
          faults.push({ what: reasonOf(error), mend: "put the secret where the topology says" });
        }
        try {
          await reach(new URL(url));
        } catch (error) {
          faults.push({ what: `${name} at ${url} cannot be reached: ${reasonOf(error)}` });
        }
      }),
    );
    return { faults, seen: named.map((name) => `${name} at ${topology[name]!.url}`).join(", ") };
  },
};

/** A connection is all that can be asked without asking for a payment; its answers are PayoutTargetFailing's matter. */
function reach({ protocol, hostname, port }: URL): Promise<void> {
  return new Promise((resolve, reject) => {
    const usual = protocol === "https:" ? 443 : 80;
    const socket = connect({ host: hostname, port: Number(port || usual), timeout: CONNECT_MS_MAX });
    socket.once("connect", () => (socket.destroy(), resolve()));
    socket.once("timeout", () => socket.destroy(new Error("no answer in time")));
    socket.once("error", reject);
  });
}

export const disks: Check = {
  id: "disks",
  what: "disks have room for the event: 10 % and 1 GiB free, and the prizes' rows",
  mend: "make room: old logs, old events (hongbao archive first), or a larger disk",
  async run(scene) {
    const { topology, pack, onAws } = scene;
    const dirs = onAws
      ? []
      : [
          ...new Set([
            dirname(topology.path),
            topology.pack,
            ...(topology.control.includes("://") ? [] : [topology.control]),
          ]),
        ];
    if (dirs.length === 0) return skipped("managed stores: their own alarms watch them");
    const need = DISK_BYTES_MIN + pack.prizeCount * 600;
    const faults: Fault[] = [];
    let least = Infinity;
    for (const dir of dirs) {
      try {
        const { bavail, blocks, bsize } = await statfs(dir);
        const free = bavail * bsize;
        least = Math.min(least, free);
        const isWritable = dir === topology.pack || canWrite(dir);
        if (!isWritable) faults.push({ what: `${dir} cannot be written`, mend: `chown or remount ${dir}` });
        if (free < need || bavail < blocks * DISK_PART_MIN)
          faults.push({
            what: `the disk under ${dir} has ${mib(free)} of ${mib(blocks * bsize)} free, expected ${mib(Math.max(need, blocks * bsize * DISK_PART_MIN))}`,
          });
      } catch (error) {
        faults.push({ what: `${dir}: ${reasonOf(error)}` });
      }
    }
    return { faults, seen: `${mib(least)} free where it is tightest` };
  },
};

function canWrite(dir: string): boolean {
  try {
    accessSync(dir, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}
