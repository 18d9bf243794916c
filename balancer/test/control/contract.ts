/** The contract of control/store.ts as tests, for any implementation: pass what opens a fresh, empty store. */
import fc from "fast-check";
import type { Test } from "tap";
import type { ControlStore } from "../../src/control/store.ts";
import { RECORD_BYTES_MAX, storeUnder } from "../../src/control/store.ts";

export async function controlStoreContract(t: Test, fresh: () => Promise<ControlStore>): Promise<void> {
  await t.test("a record that was never written is null, and an empty store lists nothing", async (t) => {
    const store = await fresh();
    t.equal(await store.get("rounds/1"), null);
    t.same(await store.list(""), []);
    t.same(await store.list("rounds/"), []);
  });

  await t.test("create only: the first writer wins, the second gets null and changes nothing", async (t) => {
    const store = await fresh();
    const etag = await store.put("keys/1", "first", { ifNoneMatch: true });
    t.type(etag, "string");
    t.equal(await store.put("keys/1", "second", { ifNoneMatch: true }), null);
    t.same(await store.get("keys/1"), { value: "first", etag });
  });

  await t.test("replace only what was read: an older etag gets null", async (t) => {
    const store = await fresh();
    const first = (await store.put("a", "1", { ifNoneMatch: true }))!;
    const second = (await store.put("a", "2", { ifMatch: first }))!;
    t.not(second, first);
    t.equal(await store.put("a", "3", { ifMatch: first }), null);
    t.same(await store.get("a"), { value: "2", etag: second });
    t.equal(await store.put("none", "1", { ifMatch: first }), null, "nothing to match");
    t.equal(await store.get("none"), null);
  });

  await t.test("the same value written again is a new version", async (t) => {
    const store = await fresh();
    const first = (await store.put("a", "x", { ifNoneMatch: true }))!;
    t.not(await store.put("a", "x", { ifMatch: first }), first);
    t.equal(await store.put("a", "y", { ifMatch: first }), null);
  });

  await t.test("without a condition the last writer wins", async (t) => {
    const store = await fresh();
    await store.put("a", "1");
    const etag = await store.put("a", "2", {});
    t.same(await store.get("a"), { value: "2", etag });
  });

  await t.test("names are listed by prefix, in order, and a name may be a folder of others", async (t) => {
    const store = await fresh();
    for (const name of [
      "rounds/2",
      "rounds/10",
      "rounds/1",
      "rounds",
      "round",
      "rounds/1/x",
      "log/a.b_c-d",
    ]) {
      await store.put(name, name);
    }
    t.same(await store.list("rounds/"), ["rounds/1", "rounds/1/x", "rounds/10", "rounds/2"]);
    t.same(await store.list("rounds/1"), ["rounds/1", "rounds/1/x", "rounds/10"]);
    t.same(await store.list("round"), ["round", "rounds", "rounds/1", "rounds/1/x", "rounds/10", "rounds/2"]);
    t.same(await store.list("log/"), ["log/a.b_c-d"]);
    t.equal((await store.list("")).length, 7);
  });

  await t.test("a part of a store is a store of its own", async (t) => {
    const store = await fresh();
    const part = storeUnder(store, "event-1/");
    const etag = await part.put("keys/1", "k", { ifNoneMatch: true });
    t.same(await part.get("keys/1"), { value: "k", etag });
    t.same(await part.list("keys/"), ["keys/1"]);
    t.same(await store.list(""), ["event-1/keys/1"]);
  });

  await t.test("any text comes back as it was", async (t) => {
    const store = await fresh();
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: "grapheme", maxLength: 300 }), async (text) => {
        await store.put("text", text);
        return (await store.get("text"))?.value === text;
      }),
      { numRuns: 30 },
    );
    await store.put("empty", "");
    t.equal((await store.get("empty"))?.value, "");
  });

  await t.test("wrong names and huge values are refused before anything is written", async (t) => {
    const store = await fresh();
    for (const name of ["", "/", "/a", "a/", "../a", "a/../b", ".hidden", "a b", "a//b", "é", "a\nb"]) {
      await t.rejects(async () => store.put(name, "x"), TypeError, JSON.stringify(name));
    }
    await t.rejects(async () => store.put("big", "x".repeat(RECORD_BYTES_MAX + 1)), TypeError);
    t.same(await store.list(""), []);
  });

  await t.test("of many writers at once exactly one wins each version", async (t) => {
    const store = await fresh();
    const writers = Array.from({ length: 20 }, (_, index) => index);
    const created = await Promise.all(
      writers.map((writer) => store.put("a", String(writer), { ifNoneMatch: true })),
    );
    t.equal(created.filter((etag) => etag !== null).length, 1);
    let etag = created.find((answer) => answer !== null)!;
    for (let version = 0; version < 10; version += 1) {
      const answers = await Promise.all(
        writers.map((writer) => store.put("a", `${version} ${writer}`, { ifMatch: etag })),
      );
      const winners = answers.filter((answer) => answer !== null);
      t.equal(winners.length, 1);
      const now = (await store.get("a"))!;
      t.equal(now.etag, winners[0]);
      t.equal(now.value, `${version} ${answers.indexOf(winners[0]!)}`);
      etag = now.etag;
    }
  });

  await t.test("a model of the store: any sequence of calls answers as a plain map would", async () => {
    const name = fc.constantFrom("a", "b/1", "b/2");
    const call = fc.oneof(
      fc.record({ kind: fc.constant("get" as const), name }),
      fc.record({ kind: fc.constant("list" as const), name: fc.constantFrom("", "b/", "c") }),
      fc.record({ kind: fc.constant("create" as const), name }),
      fc.record({ kind: fc.constant("replace" as const), name, age: fc.nat(2) }),
      fc.record({ kind: fc.constant("set" as const), name }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(call, { maxLength: 30 }), async (calls) => {
        const store = await fresh();
        /** All versions of each record, oldest first. */
        const model = new Map<string, { value: string; etag: string }[]>();
        const expect = (holds: boolean, what: unknown): void => {
          if (!holds) throw new Error(`differs at ${JSON.stringify(what)}`);
        };
        for (const [index, step] of calls.entries()) {
          const versions = model.get(step.name) ?? [];
          const value = `value ${index}`;
          const keep = (etag: string): unknown => model.set(step.name, [...versions, { value, etag }]);
          if (step.kind === "get") {
            expect(
              JSON.stringify(await store.get(step.name)) === JSON.stringify(versions.at(-1) ?? null),
              step,
            );
          } else if (step.kind === "list") {
            const names = [...model.keys()].filter((known) => known.startsWith(step.name)).sort();
            expect(JSON.stringify(await store.list(step.name)) === JSON.stringify(names), step);
          } else if (step.kind === "set") {
            keep((await store.put(step.name, value))!);
          } else {
            const read = step.kind === "create" ? undefined : versions.at(-1 - step.age);
            const condition = read ? { ifMatch: read.etag } : { ifNoneMatch: true as const };
            const may = read ? read === versions.at(-1) : versions.length === 0;
            const etag = await store.put(step.name, value, condition);
            expect((etag !== null) === may, step);
            if (etag !== null) keep(etag);
          }
        }
      }),
      { numRuns: 40 },
    );
  });
}
