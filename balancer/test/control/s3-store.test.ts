import t from "tap";
import { startFakeAws, type Mishap } from "../../../preprocess/test/aws/fake-aws.ts";
import { clearControlStore } from "../../src/control/clear.ts";
import { openControlStore } from "../../src/control/open.ts";
import { openS3Store } from "../../src/control/s3-store.ts";
import { controlStoreContract } from "./contract.ts";

const QUICK = { tries: 8, timeoutMs: 300, pauseMs: 1 };
let count = 0;
const fresh = (): string => `s3://control-bucket/store-${(count += 1)}`;
const fake = await startFakeAws(t);
t.beforeEach(() => void (fake.mishap = () => null));

t.test("the contract", (t) => controlStoreContract(t, () => openControlStore(fresh())));

t.test("the contract, while S3 refuses, conflicts, hangs up and forgets to answer", async (t) => {
  // Every second request has a mishap, in turn; "hang-after" costs the time-out and comes seldom.
  const turn: Mishap[] = [
    "slow-down",
    null,
    "lost-before",
    null,
    "error-after",
    null,
    "conflict",
    null,
    "internal-error",
    null,
  ];
  let asked = 0;
  fake.mishap = (method) => {
    const mishap = turn[(asked += 1) % turn.length]!;
    // Only a write that depends on what is there can conflict.
    return mishap === "conflict" && method === "GET" ? null : mishap;
  };
  await controlStoreContract(t, () => openS3Store(fresh(), QUICK));
});

for (const mishap of ["lost-after", "error-after", "hang-after"] as const) {
  t.test(`a write that was done and not answered (${mishap}) is found to be ours`, async (t) => {
    const store = await openS3Store(fresh(), QUICK);
    const once = (): void => {
      let left = 1;
      fake.mishap = (method) => (method === "PUT" && left-- > 0 ? mishap : null);
    };
    once();
    const first = (await store.put("keys/1", "mine", { ifNoneMatch: true }))!;
    t.same(await store.get("keys/1"), { value: "mine", etag: first });
    once();
    const second = (await store.put("keys/1", "mine again", { ifMatch: first }))!;
    t.same(await store.get("keys/1"), { value: "mine again", etag: second });
  });
}

t.test("an unanswered write over which another wrote is unknown, not lost", async (t) => {
  const url = fresh();
  const store = await openS3Store(url, QUICK);
  const other = await openS3Store(url, QUICK);
  let left = 1;
  fake.mishap = (method, key) =>
    method === "PUT" && key.endsWith("keys/1") && left-- > 0 ? "hang-after" : null;
  const unanswered = store.put("keys/1", "mine", { ifNoneMatch: true });
  let found = null;
  while (found === null) found = await other.get("keys/1");
  await other.put("keys/1", "theirs", { ifMatch: found.etag });
  await t.rejects(unanswered, { exitCode: 3, message: /keys\/1/ });
});

t.test(
  "an S3 that does not answer is unreachable and names what was asked; one that forbids, too",
  async (t) => {
    const store = await openS3Store(fresh(), QUICK);
    fake.mishap = () => "slow-down";
    await t.rejects(store.get("rounds/1"), {
      exitCode: 3,
      message: /s3:\/\/control-bucket\/.*rounds\/1.*503 SlowDown/,
    });
    fake.mishap = () => null;
    process.env.AWS_SECRET_ACCESS_KEY = "wrong";
    t.teardown(() => (process.env.AWS_SECRET_ACCESS_KEY = "fake-secret-key"));
    await t.rejects(store.get("rounds/1"), { exitCode: 3, message: /403 SignatureDoesNotMatch/ });
    await t.rejects(openControlStore("s3://control-bucket/x"), { exitCode: 3, message: /403/ });
  },
);

t.test("what a rehearsal wrote is taken away, and nothing else, though S3 has no time", async (t) => {
  const place = fresh();
  const store = await openControlStore(place);
  for (const name of ["gone/1", "gone/in/2", "gone/3", "gone/4", "goneby/5", "kept"])
    await store.put(name, "x");
  let asked = 0;
  fake.mishap = () => ((asked += 1) % 3 === 1 ? "slow-down" : null);
  await clearControlStore(place, "gone");
  fake.mishap = () => null;
  t.same(await store.list(""), ["goneby/5", "kept"]);
});
