/** A rehearsal's pack: like a round of the event, and apart from it in everything. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { readEvent, SHADOW_EVENT, shadowPack, shadowRoundId, type Pack } from "../src/index.ts";

const round = (id: number, perUser: number) => ({
  id,
  kind: "envelope" as const,
  count: 50,
  budgetMinor: 5_000,
  split: { method: "equal" as const },
  perUser,
  groups: ["staff"],
  leftovers: "next" as const,
  spreadMs: 0,
  commitment: "c",
});
const pack = {
  dir: "/pack",
  digest: "d".repeat(64),
  firstId: 1_000_001,
  prizeCount: 100,
  manifest: {
    event: { id: "real", budgetMinor: 10_000, currency: "CNY", journalMax: 10 },
    rounds: [round(1, 1), round(99, 3)],
    buckets: [
      { id: "b0", slots: [[0, 511]], users: 30 },
      { id: "b1", slots: [[512, 1023]], users: 10 },
    ],
    groups: ["staff"],
  },
  verifyFiles: () => undefined,
} as unknown as Pack;
const spec = { run: "0123456789abcdef", like: 99, count: 41 };

t.test("it has a round's rules, a number that is free, and prizes that are worth nothing", (t) => {
  const shadow = shadowPack(pack, spec);
  t.match(shadow.manifest.rounds, [
    { id: 98, perUser: 3, groups: ["staff"], count: 41, budgetMinor: 0, leftovers: "hold" },
  ]);
  t.match(shadow.manifest.ranges, [
    { round: 98, bucket: "b0", lo: 1_000_101, count: 31, amountMinor: 0 },
    { round: 98, bucket: "b1", lo: 1_000_132, count: 10, amountMinor: 0 },
  ]);
  const ids = Array.from({ length: 41 }, (_, index) => 1_000_101 + index);
  t.ok(ids.every((id) => shadow.holds(id) && shadow.amountOf(id) === 0 && shadow.greetingOf(id) === ""));
  t.same(shadow.originOf(1_000_132), { round: 98, bucket: "b1" });
  t.end();
});

t.test("no prize of the event is one of its own, nor the other way round", (t) => {
  const shadow = shadowPack(pack, spec);
  for (const id of [1_000_001, 1_000_100, 1_000_142]) {
    t.notOk(shadow.holds(id));
    t.throws(() => shadow.amountOf(id), RangeError);
  }
  t.equal(shadow.manifest.event.budgetMinor, 0);
  t.end();
});

t.test("each run is another pack; no event can have its name", (t) => {
  t.not(shadowPack(pack, spec).digest, shadowPack(pack, { ...spec, run: "fedcba9876543210" }).digest);
  t.equal(
    shadowPack(pack, spec).digest,
    shadowPack(pack, { ...spec }).digest,
    "every process makes the same",
  );
  t.throws(() => shadowPack(pack, { ...spec, like: 7 }), {
    message: "shadow: found round 7, expected one of 1, 99",
  });
  const all = Array.from({ length: 99 }, (_, index) => round(index + 1, 1));
  t.throws(() => shadowRoundId({ rounds: all }), { message: /99 rounds/ });
  const dir = mkdtempSync(join(tmpdir(), "hongbao-shadow-"));
  t.teardown(() => rmSync(dir, { recursive: true }));
  writeFileSync(join(dir, "event.yaml"), `event: ${SHADOW_EVENT}\n`);
  t.throws(() => readEvent(join(dir, "event.yaml")), { message: /event: found .*expected an id of 1 to 32/ });
  t.end();
});
