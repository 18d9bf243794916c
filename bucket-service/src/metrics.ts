/** What the processes of a bucket tell of themselves; the meanings stand in monitoring's catalogue. */
import type { Server } from "node:net";
import type { Registry } from "@hongbao/monitoring";
import {
  STANDARD_SWITCHES,
  SWITCHES,
  SWITCH_NAMES,
  type LiveSwitches,
  type Pack,
  type SwitchName,
} from "@hongbao/preprocess";
import type { SpopAgent } from "./doors/spop/agent.ts";
import type { AnswerWord } from "./grab/answers.ts";
import type { BucketView } from "./grab/bucket-view.ts";
import type { GrabObserver } from "./grab/grab-core.ts";
import { leftOf, phaseOf } from "./redis/scripts.ts";

type Door = "http" | "spop";
type Route = "grab" | "result" | "wins" | "receipts";
type Word = AnswerWord | "ok";

/** Counts one answer; `milliseconds` since its request came. Called for every grab: two numbers grow, nothing is looked up. */
export type AnswerMeter = (word: Word, milliseconds: number) => void;

/** What alerts compare must be there, as 0, before it happens for the first time. */
const AT_ONCE = ["won", "ended", "busy"] as const;

export function answerMeter(registry: Registry, door: Door, route: Route): AnswerMeter {
  const total = registry.counter("http_requests_total");
  const seconds = registry.histogram("grab_seconds");
  const made = (word: Word) => {
    const result = word === "not_found" ? "ok" : word;
    return { count: total.with({ door, route, result }), time: seconds.with({ door, result }) };
  };
  const cells: Partial<Record<Word, ReturnType<typeof made>>> = {};
  for (const word of AT_ONCE) if (route === "grab") cells[word] = made(word);
  const isTimed = route === "grab";
  return (word, milliseconds) => {
    const { count, time } = (cells[word] ??= made(word));
    count.inc();
    if (isTimed) time.observe(milliseconds / 1000);
  };
}

/** The HTTP door's answers; undefined where nothing is measured. */
export function httpMeter(
  registry: Registry,
): ((route: Route, word: Word, milliseconds: number) => void) | undefined {
  if (!registry.enabled) return undefined;
  const meters = {
    grab: answerMeter(registry, "http", "grab"),
    result: answerMeter(registry, "http", "result"),
    wins: answerMeter(registry, "http", "wins"),
    receipts: answerMeter(registry, "http", "receipts"),
  };
  return (route, word, milliseconds) => meters[route](word, milliseconds);
}

/** The script calls of the grab path. */
export function batchObserver(registry: Registry): GrabObserver {
  const size = registry.histogram("batch_size").with({});
  const seconds = registry.histogram("redis_call_seconds").with({ call: "grab" });
  const failures = registry.counter("redis_failures_total").with({ call: "grab" });
  return {
    batch(count, milliseconds, ok) {
      size.observe(count);
      seconds.observe(milliseconds / 1000);
      if (!ok) failures.inc();
    },
  };
}

export function doorMetrics(registry: Registry, door: Server, agent: SpopAgent): void {
  registry.onCollect(async () => {
    registry.gauge("grabs_in_flight").set({}, agent.waiting);
    registry.gauge("connections").set({ door: "spop" }, agent.connections);
    const count = await new Promise<number>((resolve) =>
      door.getConnections((_error, open) => resolve(open ?? 0)),
    );
    registry.gauge("connections").set({ door: "http" }, count);
  });
}

export function switchMetrics(registry: Registry, switches: LiveSwitches): void {
  registry.onCollect(() => {
    const { current } = switches;
    registry.gauge("switch_value").reset();
    let changed = 0;
    for (const name of SWITCH_NAMES) {
      const { field } = SWITCHES[name];
      const value = current[field];
      if (value !== STANDARD_SWITCHES[field]) changed += 1;
      registry.gauge("switch_value").set({ switch: name, value: switchText(name, value) }, 1);
    }
    registry.gauge("switches_changed").set({}, changed);
  });
}

/** As operators write it. */
function switchText(name: SwitchName, value: string | number | boolean): string {
  if (typeof value === "boolean") return value ? "on" : "off";
  if (value === 0) return name === "gate" ? "event" : "off";
  return String(value);
}

/** Gauges that are read off the view when somebody collects. */
export function viewMetrics(
  { registry, pack, bucket }: { registry: Registry; pack: Pack; bucket: { id: string } },
  view: BucketView,
  mysqlUp: () => boolean,
): void {
  const generated = new Map(
    pack.manifest.ranges
      .filter((range) => range.bucket === bucket.id)
      .map(({ round, count }) => [round, count]),
  );
  registry.onCollect(() => {
    registry.gauge("store_up").set({ store: "redis" }, view.trust === "ok" ? 1 : 0);
    registry.gauge("store_up").set({ store: "mysql" }, mysqlUp() ? 1 : 0);
    registry.gauge("breaker_open").set({ target: "redis" }, view.trust === "ok" ? 0 : 1);
    registry.gauge("bucket_fenced").set({}, view.trust === "fenced" ? 1 : 0);
    registry.gauge("journal_max").set({}, pack.manifest.event.journalMax);
    const { state } = view;
    if (state === null) return;
    registry.gauge("journal_waiting").set({}, state.seq - state.acked);
    for (const name of ["round_opens_at_seconds", "round_closes_at_seconds"] as const)
      registry.gauge(name).reset();
    for (const round of state.rounds) {
      const label = { round: String(round.round) };
      registry.gauge("prizes_generated").set(label, generated.get(round.round) ?? 0);
      registry.gauge("prizes_issued").set(label, round.issued);
      registry.gauge("prizes_left").set(label, leftOf(round));
      const { opensAtMs, closesAtMs } = round;
      if (opensAtMs !== null) registry.gauge("round_opens_at_seconds").set(label, opensAtMs / 1000);
      if (closesAtMs !== null) registry.gauge("round_closes_at_seconds").set(label, closesAtMs / 1000);
      for (const phase of ["scheduled", "open", "closed"] as const) {
        registry
          .gauge("round_state")
          .set({ ...label, state: phase }, phaseOf(round, state.timeMs) === phase ? 1 : 0);
      }
    }
  });
}
