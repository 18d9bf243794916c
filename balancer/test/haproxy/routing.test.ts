import { Agent } from "node:http";
import fc from "fast-check";
import t from "tap";
import { bucketOf, slotOf } from "@hongbao/preprocess";
import { MAPS } from "../../src/haproxy/maps.ts";
import { showMap } from "../../src/haproxy/runtime.ts";
import { answerJson, ask, bearer, eventually, startRig } from "./harness.ts";

t.test("HAProxy and slotOf send every user to the same bucket, odd names too", async (t) => {
  const agent = new Agent({ keepAlive: true, maxSockets: 16 });
  t.teardown(() => agent.destroy());
  const rig = await startRig(t, {
    slots: {
      b0: [
        [0, 0],
        [7, 340],
      ],
      "b-one": [
        [1, 6],
        [341, 700],
      ],
      b2: [[701, 1022]],
      last: [[1023, 1023]],
    },
  });
  const bucketFor = async (user: string): Promise<unknown> =>
    (await ask(rig.port, "/v1/wins", { headers: bearer(user), agent })).json?.bucket;

  const odd = [
    "-",
    ".",
    "_",
    "..",
    "--",
    "...",
    "-.-",
    "0",
    "00",
    "000",
    "-1",
    "1e9",
    "0x10",
    "null",
    "true",
    "NaN",
    "__proto__",
    "constructor",
    "a".repeat(64),
    "Z".repeat(64),
    "9".repeat(64),
    "-".repeat(64),
    "user",
    "USER",
    "User",
    "1.5",
    ".hidden",
    "a..b",
    "A_b-c.D",
  ];
  for (const user of odd)
    t.equal(await bucketFor(user), rig.topology.buckets[bucketOf(rig.topology, user)]!.id, user);

  const seen = new Set<number>();
  const id = fc.string({ unit: fc.constantFrom(..."ABCXYZabcxyz0189._-"), minLength: 1, maxLength: 64 });
  await fc.assert(
    fc.asyncProperty(fc.array(id, { minLength: 20, maxLength: 20 }), async (users) => {
      const buckets = await Promise.all(users.map(bucketFor));
      return users.every((user, index) => {
        seen.add(slotOf(user));
        return buckets[index] === rig.topology.buckets[bucketOf(rig.topology, user)]!.id;
      });
    }),
    { numRuns: 60 },
  );
  t.ok(seen.size > 400, `${seen.size} different slots`);

  // The bucket with a single slot: find someone who lives there.
  let lonely = 0;
  while (slotOf(`u${lonely}`) !== 1023) lonely += 1;
  t.equal(await bucketFor(`u${lonely}`), "last");
});

/** A user of each bucket of the standard rig. */
const userOf = (bucket: 0 | 1): string => {
  for (let n = 0; ; n += 1) if (Math.floor(slotOf(`u${n}`) / 512) === bucket) return `u${n}`;
};

t.test("ended is learned per bucket, round, stock and key, and forgotten", async (t) => {
  const rig = await startRig(t, {
    rounds: [
      { id: 1, perUser: 1, groups: null },
      { id: 2, perUser: 1, groups: null },
      { id: 3, perUser: 1, groups: ["staff"] },
    ],
  });
  const [b0] = rig.services.b0!;
  const [b1] = rig.services.b1!;
  let stock = 4;
  for (const service of [b0!, b1!]) {
    service.handler = (_request, response) =>
      answerJson(
        response,
        200,
        { result: "ended", from: "service" },
        stock > 0 ? { "x-hongbao-stock": String(stock) } : {},
      );
  }
  await rig.setStocks({ "1/b0": "4", "1/b1": "4", "2/b0": "4", "3/b0": "4" });
  const isLearned = async (round: number, user: string, query?: string): Promise<boolean> => {
    const answer = await rig.grab(round, user, query);
    t.match(answer, { status: 200, json: { result: "ended" } });
    if (answer.json?.from === undefined) t.same(answer.json, { result: "ended", round });
    return answer.json?.from === undefined;
  };
  const user = userOf(0);

  t.notOk(await isLearned(1, user), "the first answer is the bucket's");
  t.ok(await isLearned(1, user), "the very next one HAProxy's");
  t.ok(await isLearned(1, user, "k=key&n=1"));
  // HAProxy takes ; for & and does not decode: the key that it reads here is not the one that the service reads.
  for (const query of ["n=1&k=key", ";k=a&k=key", "x=;k=b&k=key", "k=key&k=c", "%6b=key&k=d", "k=key;n=1"])
    t.notOk(await isLearned(1, user, query), query);
  t.same([...(await showMap(rig.master.runtime, MAPS.ended)).keys()], ["1/b0/4/key"], "nor is it learned");
  t.notOk(await isLearned(1, user, "k=other"), "another key is the bucket's to judge");
  t.notOk(await isLearned(1, user, ""), "no key too");
  t.notOk(await isLearned(2, user), "another round");
  t.notOk(await isLearned(1, userOf(1)), "another bucket");
  await eventually(async () => !(await isLearned(1, user)));
  t.pass("it is forgotten, unless it is learned again");

  t.ok(await isLearned(1, user), "it was");
  await rig.setStocks({ "1/b0": "5", "1/b1": "4", "2/b0": "4", "3/b0": "4" });
  t.notOk(await isLearned(1, user), "stock came: at once the bucket is asked again");
  t.notOk(await isLearned(1, user), "and its late word of the older stock is not believed");
  stock = 6;
  t.notOk(await isLearned(1, user), "nor is one of a stock that HAProxy was not told of");
  t.notOk(await isLearned(1, user));
  stock = 5;
  t.notOk(await isLearned(1, user));
  t.ok(await isLearned(1, user), "the newest stock's word is");

  t.notOk(await isLearned(3, user));
  t.notOk(
    await isLearned(3, user),
    "a round for some is never answered here: only the bucket knows who may ask",
  );

  stock = 0;
  t.notOk(await isLearned(2, user, "k=b"));
  t.notOk(await isLearned(2, user, "k=b"), "no header, nothing learned");
  for (const header of ["x", "-1", "1 2", "1".repeat(16), ""]) {
    b0!.handler = (_request, response) => {
      response.setHeader("x-hongbao-stock", header);
      answerJson(response, 200, { result: "ended", from: "service" });
    };
    await rig.grab(2, user, "k=c");
    t.notOk(await isLearned(2, user, "k=c"), `nothing is learned of "${header}"`);
  }
  const result = await ask(rig.port, "/v1/rounds/1/result", { headers: bearer(user) });
  t.ok(result.json?.from, "what was won is never answered from memory");
});

t.test("a token is still needed where a bucket, not the round, is at its end", async (t) => {
  const rig = await startRig(t);
  rig.services.b0![0]!.handler = (_request, response) =>
    answerJson(response, 200, { result: "ended" }, { "x-hongbao-stock": "1" });
  await rig.setStocks({ "1/b0": "1" });
  await rig.grab(1, userOf(0));
  t.match(await ask(rig.port, "/v1/rounds/1/grab?k=key", { method: "POST" }), { status: 401 });
  t.match(await rig.grab(1, userOf(0), "k=key&n=0"), { status: 400 });
});
