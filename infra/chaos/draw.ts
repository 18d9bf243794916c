/** Scenarios that nobody wrote: a handful of faults on targets and at moments that a seed decides. */
import { pick, randomFrom, seedOf, type Random } from "./random.ts";
import { parseScenario, type Scenario } from "./scenario.ts";

const SECONDS = 7;
const FAULTS_MAX = 5;

const TARGETS = [
  "service one",
  "redis b0",
  "redis b1",
  "mysql b0",
  "mysql b1",
  "persist one",
  "payout one",
  "controller one",
  "balancer",
];
const WIDE = [
  "controller all",
  "persist all",
  "payout all",
  "service b0/all",
  "service b1/all",
  "bucket b0",
  "all",
];

type Raw = Record<string, unknown>;

/** One fault. Nothing here loses data: that takes an operator, whose steps have an order. */
function fault(random: Random): Raw {
  const at = Math.round(random() * SECONDS * 10) / 10;
  const kind = random();
  if (kind < 0.4) {
    const target = pick(random, random() < 0.8 ? TARGETS : WIDE);
    return { at, do: "kill", target, ...(random() < 0.4 ? { hold: Math.round(random() * 30) / 10 } : {}) };
  }
  if (kind < 0.65)
    return {
      at,
      do: "freeze",
      target: pick(random, random() < 0.8 ? TARGETS : WIDE),
      for: 1 + Math.round(random() * 40) / 10,
    };
  if (kind < 0.7)
    return {
      at,
      do: "terminate",
      target: pick(random, ["service one", "persist one", "controller one", "payout one"]),
    };
  if (kind < 0.9) {
    const link = pick(random, ["redis b0", "redis b1", "mysql b0", "mysql b1", "clients"]);
    const mood = pick(random, ["cut", "slow", "stall", "lose"]);
    return {
      at,
      do: "link",
      link,
      mood,
      delayMs: mood === "slow" ? 50 + Math.round(random() * 400) : 0,
      for: 0.5 + Math.round(random() * 30) / 10,
    };
  }
  if (kind < 0.95)
    return {
      at,
      do: "slowDisk",
      target: pick(random, ["redis b0", "redis b1"]),
      delayMs: 100 + Math.round(random() * 300),
      for: 3,
    };
  return { at, do: "clock", seconds: pick(random, [3600, -3600]), for: 4 };
}

/** The `number`-th scenario of a seed. */
export function drawScenario(seed: number, number: number): Scenario {
  const random = randomFrom(seedOf(seed, `scenario ${number}`));
  const faults = Array.from({ length: 1 + Math.floor(random() * FAULTS_MAX) }, () => fault(random));
  const perUser = random() < 0.3 ? 2 : 1;
  const raw = {
    what: `drawn: ${faults.map(({ do: what, target, link }) => [what, target ?? link].filter(Boolean).join(" ")).join(", ")}`,
    rounds: [{ count: random() < 0.5 ? 500 : 1_600, perUser, kind: random() < 0.15 ? "item" : "envelope" }],
    load: { users: 800, seconds: SECONDS, firstBucketShare: pick(random, [0.5, 0.5, 0.8]) },
    ...(random() < 0.3 ? { closesAfter: 5 } : {}),
    // The closing may come while all buckets are away; then nothing can be asked of the last round.
    steps: faults,
  };
  return parseScenario(`drawn-${number}`, JSON.stringify(raw));
}
