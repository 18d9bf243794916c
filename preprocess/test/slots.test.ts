import fc from "fast-check";
import t from "tap";
import { bucketOf, bucketOfSlot, isUserId, slotOf, SLOTS } from "../src/index.ts";

t.test("a slot is the IEEE CRC-32 of the ID modulo 1024", async (t) => {
  // The check value of CRC-32 (0xcbf43926) for the nine digits.
  t.equal(slotOf("123456789"), 0xcbf43926 % 1024);
  t.equal(slotOf("u1"), slotOf("u1"));
  t.not(slotOf("u1"), slotOf("U1"), "case matters");
});

t.test("a slot is never negative and never beyond the last", async () => {
  fc.assert(
    fc.property(fc.string(), (id) => {
      const slot = slotOf(id);
      return Number.isInteger(slot) && slot >= 0 && slot < SLOTS;
    }),
  );
});

t.test("user IDs are 1 to 64 of the allowed characters", async (t) => {
  for (const good of ["a", "A.b_c-9", "x".repeat(64)]) t.ok(isUserId(good), good);
  for (const bad of ["", "x".repeat(65), "a b", "ü", "a/b", "a\n", "张"]) t.notOk(isUserId(bad), bad);
});

t.test("a user's bucket is the owner of the slot", async (t) => {
  const buckets = [
    {
      id: "b0",
      slots: [
        [0, 9],
        [20, 1023],
      ] as [number, number][],
    },
    { id: "b1", slots: [[10, 19]] as [number, number][] },
  ];
  const owners = bucketOfSlot({ buckets });
  t.equal(owners.length, SLOTS);
  t.same([owners[0], owners[9], owners[10], owners[19], owners[20], owners[1023]], [0, 0, 1, 1, 0, 0]);
  t.equal(bucketOf({ buckets }, "u1"), owners[slotOf("u1")]);
});
