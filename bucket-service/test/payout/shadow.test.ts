/** A rehearsal's wins are never paid, whoever starts payout with its pack. */
import t from "tap";
import { HmacSha256, SHADOW_EVENT } from "@hongbao/preprocess";
import { receiptOf } from "../../src/grab/answers.ts";
import { Payout } from "../../src/payout/payout.ts";

t.test("payout refuses a rehearsal's pack before it looks at anything", (t) => {
  const pack = { manifest: { event: { id: SHADOW_EVENT }, rounds: [] } };
  const parts = { pack, bucket: "b0", targets: {}, policy: {} };
  t.throws(() => new Payout(parts as unknown as ConstructorParameters<typeof Payout>[0]), {
    message: /a rehearsal, which is never paid/,
  });
  t.end();
});

t.test("a rehearsal's receipt is none of the event's", (t) => {
  const mac = new HmacSha256("receipt-secret-receipt-secret");
  const facts = { bucket: "b0", round: 1, n: 1, prizeId: 1_000_001, user: "u1" };
  t.not(receiptOf({ ...facts, event: SHADOW_EVENT }, mac), receiptOf({ ...facts, event: "real" }, mac));
  t.end();
});
