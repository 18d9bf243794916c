/** Files and tokens of any bytes: they are refused in words that a person can act on, or they are what they say. */
import { readdirSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import t from "tap";
import {
  BadInput,
  bucketOfSlot,
  isUserId,
  openPack,
  readEvent,
  readTopology,
  readUsers,
  signToken,
  Unreachable,
  TokenVerifier,
} from "../src/index.ts";
import { eventText, ITEM, makePack, temporaryDir, usersText, writeEvent, writeTopology } from "./fixtures.ts";

const RUNS = { numRuns: 300 };
/** What people type wrong, and what files get broken by. */
const PIECES = [
  "",
  " ",
  "\n",
  "\t",
  ":",
  "-",
  "0",
  "9999999999999999999",
  "-1",
  "1e9",
  "null",
  "[",
  "{",
  '"',
  "'",
  "#",
  "&a",
  "*a",
  "!!js",
  "\u0000",
  "\ufeff",
  "é",
  "😀",
];

/** Some places of a text replaced, cut out or doubled. */
function mutated(text: string): fc.Arbitrary<string> {
  const change = fc.record({
    at: fc.nat(text.length - 1),
    drop: fc.nat(6),
    put: fc.oneof(fc.constantFrom(...PIECES), fc.string({ maxLength: 4 })),
  });
  return fc
    .array(change, { minLength: 1, maxLength: 4 })
    .map((changes) =>
      changes.reduce((found, { at, drop, put }) => found.slice(0, at) + put + found.slice(at + drop), text),
    );
}

/** Whether the error is one for people: of ours, on one line, naming the file. */
function isForPeople(error: unknown, path: string): boolean {
  const { message } = error as Error;
  return (
    (error instanceof BadInput || error instanceof Unreachable) &&
    message.includes(path) &&
    message.length < 2_000
  );
}

t.test("event files: refused by file and field, or an event that can be given away", async (t) => {
  const dir = temporaryDir(t);
  const rounds = [{}, { id: "2", split: "{ method: normal, min: 1.00, max: 19.00 }" }, { ...ITEM }];
  const text = eventText(rounds, { ack: "database" });
  const path = writeEvent(dir, { event: text });
  const check = (found: string): boolean => {
    writeFileSync(path, found);
    try {
      const event = readEvent(path);
      const ids = event.rounds.map(({ id }) => id);
      const budget = event.rounds.reduce((sum, { budgetMinor }) => sum + budgetMinor, 0);
      return (
        new Set(ids).size === ids.length &&
        budget <= event.budgetMinor &&
        event.rounds.every(({ count }) => count > 0)
      );
    } catch (error) {
      return isForPeople(error, dir);
    }
  };
  t.doesNotThrow(() => fc.assert(fc.property(mutated(text), check), RUNS));
  t.doesNotThrow(() => fc.assert(fc.property(fc.string({ maxLength: 200 }), check), RUNS));
});

t.test("topology files: refused by file and field, or every slot has one bucket", async (t) => {
  const dir = temporaryDir(t);
  const path = writeTopology(dir);
  const text = readFileSync(path, "utf8");
  const check = (found: string): boolean => {
    writeFileSync(path, found);
    try {
      const owners = bucketOfSlot(readTopology(path));
      return owners.length === 1024 && owners.every((owner) => owner >= 0);
    } catch (error) {
      return isForPeople(error, dir);
    }
  };
  t.doesNotThrow(() => fc.assert(fc.property(mutated(text), check), RUNS));
  t.doesNotThrow(() => fc.assert(fc.property(fc.string({ maxLength: 200 }), check), RUNS));
});

t.test("user lists: refused by line, or users with proper IDs, each once", async (t) => {
  const path = join(temporaryDir(t), "users.csv");
  const check = async (found: string | Uint8Array): Promise<boolean> => {
    writeFileSync(path, found);
    try {
      const ids = [...(await readUsers(path)).records].map(({ id }) => id);
      return ids.length > 0 && new Set(ids).size === ids.length && ids.every(isUserId);
    } catch (error) {
      return isForPeople(error, path);
    }
  };
  await t.resolves(fc.assert(fc.asyncProperty(mutated(usersText(20)), check), RUNS));
  await t.resolves(fc.assert(fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), check), RUNS));
});

t.test("tokens: no change of a letter, and no text at all, makes another one", async (t) => {
  const secret = "s".repeat(64);
  const token = signToken("li.wei_1-x", secret, 2_000_000_000);
  const verifier = new TokenVerifier([secret]);
  const check = (found: string): boolean => found === token || !verifier.verify(found, 1_900_000_000).ok;
  t.doesNotThrow(() => fc.assert(fc.property(mutated(token), check), { numRuns: 5_000 }));
  t.doesNotThrow(() => fc.assert(fc.property(fc.string({ maxLength: 3_000 }), check), RUNS));
  for (let at = 0; at < token.length; at += 1) {
    for (const letter of "Aa0-_.=")
      if (!check(token.slice(0, at) + letter + token.slice(at + 1))) t.fail(`letter ${at} as ${letter}`);
  }
});

t.test("packs: a flipped bit and a lost end are found in every file", async (t) => {
  const dir = temporaryDir(t);
  writeEvent(dir, { event: eventText([{ count: "60", budget: "300.00" }, { ...ITEM }]) });
  writeTopology(dir);
  await makePack(dir);
  const pack = join(dir, "pack");
  // The schedule is the one file that may change: `load` writes the times that were fixed.
  const files = readdirSync(pack).filter((name) => name !== "schedule.json");
  t.ok(files.length >= 5);
  const isFound = (): boolean => {
    try {
      openPack(pack).close();
      return false;
    } catch (error) {
      return isForPeople(error, pack);
    }
  };
  for (const name of files) {
    const path = join(pack, name);
    const whole = readFileSync(path);
    const places = fc.tuple(fc.nat(whole.length - 1), fc.nat(7));
    t.doesNotThrow(
      () =>
        fc.assert(
          fc.property(places, ([at, bit]) => {
            const broken = Buffer.from(whole);
            broken[at]! ^= 1 << bit;
            writeFileSync(path, broken);
            return isFound();
          }),
          { numRuns: 60 },
        ),
      name,
    );
    writeFileSync(path, whole);
    truncateSync(path, whole.length - 1);
    t.ok(isFound(), `${name} without its last byte`);
    writeFileSync(path, whole);
  }
  openPack(pack).close();
});
