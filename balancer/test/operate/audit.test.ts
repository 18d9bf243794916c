/** The sum over the audits of all buckets. */
import t from "tap";
import type { AuditMove, BucketAudit, RoundAudit } from "@hongbao/bucket-service";
import { sumAudits } from "../../src/operate/audit.ts";

const manifest = {
  event: { budgetMinor: 1000 },
  rounds: [{ id: 1, count: 10, budgetMinor: 1000 }],
} as unknown as Parameters<typeof sumAudits>[1];

const zero = { count: 0, amount: 0 };
function round(bucket: string, fields: Partial<RoundAudit>): RoundAudit {
  return {
    bucket,
    round: 1,
    generated: { count: 5, amount: 500 },
    borrowed: zero,
    rolledIn: zero,
    issued: zero,
    left: { count: 5, amount: 500 },
    burned: zero,
    lentOut: zero,
    rolledOut: zero,
    waiting: zero,
    claimed: zero,
    paid: zero,
    pending: zero,
    dead: zero,
    held: zero,
    ...fields,
  };
}
function books(bucket: string, moves: AuditMove[] = [], fields: Partial<RoundAudit> = {}): BucketAudit {
  return { bucket, rounds: [round(bucket, fields)], moves, violations: [] };
}
function loan(direction: "in" | "out", fields: Partial<AuditMove> = {}): AuditMove {
  const [bucket, peerBucket] = direction === "out" ? ["b0", "b1"] : ["b1", "b0"];
  const runs = [{ lo: 11, count: 2 }];
  return {
    id: "t1",
    kind: "lend",
    direction,
    bucket,
    round: 1,
    peerBucket,
    peerRound: 1,
    runs,
    count: 2,
    amount: 20,
    ...fields,
  };
}

t.test("what came to a bucket must have left another, run by run", (t) => {
  const right = sumAudits([books("b0", [loan("out")]), books("b1", [loan("in")])], manifest, []);
  t.match(right, { ok: true, underWay: [], rounds: [{ generated: { count: 10, amount: 1000 } }] });
  const underWay = sumAudits([books("b0", [loan("out")]), books("b1")], manifest, []);
  t.match(underWay, {
    ok: true,
    underWay: [
      {
        move: "t1",
        kind: "lend",
        from: { bucket: "b0", round: 1 },
        to: { bucket: "b1", round: 1 },
        count: 2,
        amount: 20,
      },
    ],
  });
  const later = sumAudits([books("b0"), books("b1", [loan("in")])], manifest, [loan("out")]);
  t.match(later, { ok: true, underWay: [] }, "it left after the lender was looked at");
  const wrong: [string, AuditMove[], AuditMove[]][] = [
    ["from nowhere", [], [loan("in")]],
    ["other IDs", [loan("out")], [loan("in", { runs: [{ lo: 12, count: 2 }] })]],
    ["meant for another bucket", [loan("out", { peerBucket: "b7" })], [loan("in")]],
    ["into another round", [loan("out")], [loan("in", { round: 2 })]],
  ];
  for (const [what, lender, borrower] of wrong) {
    const { ok, violations } = sumAudits([books("b0", lender), books("b1", borrower)], manifest, []);
    t.equal(ok, false, what);
    t.match(violations, [{ promise: 6, bucket: "b1", what: /move t1 brought 2 prizes from bucket b0/ }]);
  }
  t.end();
});

t.test("budgets: of each round, and of the event", (t) => {
  const short = sumAudits(
    [books("b0"), books("b1", [], { generated: { count: 5, amount: 501 } })],
    manifest,
    [],
  );
  t.match(short.violations, [
    { promise: 4, round: 1, bucket: "all", what: /worth 1001 were generated, planned were 10 worth 1000/ },
  ]);
  const claimed = { count: 5, amount: 600 };
  const over = sumAudits([books("b0", [], { claimed }), books("b1", [], { claimed })], manifest, []);
  t.match(over.violations, [{ promise: 4, what: /worth 1200 were won, the event's budget is 1000/ }]);
  t.end();
});
