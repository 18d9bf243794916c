import fc from "fast-check";
import t from "tap";
import { BadInput, formatMoney, parseMoney } from "../src/index.ts";

t.test("reads decimals with at most two places as minor units", async (t) => {
  t.equal(parseMoney("1500000.00", "budget"), 150_000_000);
  t.equal(parseMoney(0.01, "min"), 1);
  t.equal(parseMoney("8.8", "amount"), 880);
  t.equal(parseMoney(12, "amount"), 1200);
  t.equal(parseMoney("0", "amount"), 0);
});

t.test("refuses what is no amount, naming the place", async (t) => {
  for (const bad of ["-1", "1.005", "", " 1", "1,000.00", "abc", "1e3", "NaN", ".5", "99999999999999.99"]) {
    t.throws(() => parseMoney(bad, "event.yaml:7: budget"), BadInput, bad);
  }
  t.throws(() => parseMoney(0.005, "event.yaml:7: budget"), {
    message: "event.yaml:7: budget: found 0.005, expected an amount such as 12.50 with at most 2 decimals",
  });
  t.throws(() => parseMoney(Infinity, "x"), BadInput);
});

t.test("writes minor units with two places", async (t) => {
  t.equal(formatMoney(888), "8.88");
  t.equal(formatMoney(5), "0.05");
  t.equal(formatMoney(-120), "-1.20");
});

t.test("what is written is read back, whatever the amount", async () => {
  fc.assert(
    fc.property(
      fc.nat({ max: Number.MAX_SAFE_INTEGER }),
      (minor) => parseMoney(formatMoney(minor), "") === minor,
    ),
  );
});
