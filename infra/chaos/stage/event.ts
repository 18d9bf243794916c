/** The event of a chaos cluster: users, and as many rounds as the scenarios on it need, each opened by an order. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { slotOf, type Topology } from "@hongbao/preprocess";
import type { RoundNeed, WorldName } from "../scenario.ts";

export interface RoundSpec extends RoundNeed {
  id: number;
}

const CENTS_EACH = 500;
/** Small enough to be reached while MySQL is away, and for a rebuild to leave something. */
export const JOURNAL_MAX = 400;

export const userName = (index: number): string => `c${String(index).padStart(5, "0")}`;

/** Writes event.yaml (JSON is YAML) and users.csv; returns the event's path. */
export function writeEvent(
  dir: string,
  spec: { event: string; world: WorldName; rounds: RoundSpec[]; users: number },
): string {
  mkdirSync(dir, { recursive: true });
  const ids = Array.from({ length: spec.users }, (_, index) => userName(index));
  writeFileSync(join(dir, "users.csv"), `id,name,group\n${ids.map((id) => `${id},${id},all\n`).join("")}`);
  const money = (minor: number): string => (minor / 100).toFixed(2);
  const envelopes = spec.rounds.filter(({ kind }) => kind === "envelope");
  const event = {
    event: spec.event,
    title: { zh: "混沌", en: "Chaos" },
    currency: "CNY",
    timezone: "Asia/Shanghai",
    budget: money(
      Math.max(
        1,
        envelopes.reduce((sum, { count }) => sum + count, 0),
      ) * CENTS_EACH,
    ),
    users: "users.csv",
    ack: spec.world === "database" ? "database" : "journal",
    journalMax: JOURNAL_MAX,
    rounds: spec.rounds.map(({ id, kind, count, perUser, leftovers }) => ({
      id,
      kind,
      opensAt: "manual",
      closesAt: "manual",
      count,
      perUser,
      leftovers,
      ...(kind === "item"
        ? { item: { sku: "PHONE-1", title: { zh: "手机", en: "Phone" }, price: "1.00" } }
        : { budget: money(count * CENTS_EACH), split: { method: "lucky", min: "0.01", max: "50.00" } }),
    })),
  };
  const path = join(dir, "event.yaml");
  writeFileSync(path, JSON.stringify(event, null, 2));
  return path;
}

/** The bucket that a user belongs to. */
export function bucketOfUser({ buckets }: Pick<Topology, "buckets">, user: string): string {
  const slot = slotOf(user);
  return buckets.find(({ slots }) => slots.some(([first, last]) => slot >= first && slot <= last))!.id;
}
