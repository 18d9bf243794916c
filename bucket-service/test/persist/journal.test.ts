/** Journal entries of any form: refused whole, or claims that may go to MySQL. */
import fc from "fast-check";
import t from "tap";
import { compareEntryIds, unpackEntry } from "../../src/persist/journal.ts";
import { claimField } from "../../src/redis/keys.ts";

const user = fc.stringMatching(/^[A-Za-z0-9._-]{1,64}$/);
const claim = fc.record({ user, n: fc.integer({ min: 1, max: 1000 }) });
const entry = fc.record({
  round: fc.integer({ min: 1, max: 99 }),
  atMs: fc.integer({ min: 1, max: 4_000_000_000_000 }),
  high: fc.integer({ min: 1_000_000, max: Number.MAX_SAFE_INTEGER }),
  claims: fc.array(claim, { minLength: 1, maxLength: 20 }),
});

type Packed = { round: number; atMs: number; high: number; claims: { user: string; n: number }[] };

/** As lua/grab.lua writes it. */
const pack = ({ round, atMs, high, claims }: Packed): string =>
  [round, atMs, high, claims.length, ...claims.map(({ user, n }) => claimField(user, n))].join(" ");

t.test("what grab.lua packs is unpacked, in the order of the IDs", async () => {
  fc.assert(
    fc.property(entry, (packed) => {
      const found = unpackEntry(pack(packed));
      return found.every(({ prizeId, round, user, n, claimedAtMs }, index) => {
        const wanted = packed.claims[index]!;
        const isSame = user === wanted.user && n === wanted.n;
        return (
          isSame && prizeId === packed.high - index && round === packed.round && claimedAtMs === packed.atMs
        );
      });
    }),
  );
});

t.test("an entry of another form is refused whole; none gives a claim that is not one", async () => {
  const change = fc.record({ at: fc.nat(60), drop: fc.nat(3), put: fc.string({ maxLength: 3 }) });
  const broken = fc
    .tuple(entry, fc.array(change, { minLength: 1, maxLength: 3 }))
    .map(([packed, changes]) =>
      changes.reduce(
        (text, { at, drop, put }) => text.slice(0, at) + put + text.slice(at + drop),
        pack(packed),
      ),
    );
  const check = (text: string): boolean => {
    try {
      return unpackEntry(text).every(({ prizeId, round, n, claimedAtMs }) =>
        [prizeId, round, n, claimedAtMs].every((number) => Number.isSafeInteger(number) && number > 0),
      );
    } catch (error) {
      return (error as Error).message.startsWith("journal entry is damaged: found ");
    }
  };
  fc.assert(fc.property(broken, check), { numRuns: 5_000 });
  fc.assert(fc.property(fc.string({ maxLength: 80 }), check), { numRuns: 2_000 });
});

t.test("entry IDs are compared as numbers", async (t) => {
  const part = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER });
  fc.assert(
    fc.property(part, part, part, part, (aMs, aSeq, bMs, bSeq) => {
      const found = Math.sign(compareEntryIds(`${aMs}-${aSeq}`, `${bMs}-${bSeq}`));
      return found === (Math.sign(aMs - bMs) || Math.sign(aSeq - bSeq));
    }),
  );
  t.ok(compareEntryIds("9-0", "10-0") < 0);
});
