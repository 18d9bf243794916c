import t from "tap";
import { N_MAX, RECENT_MAX, RecentAttempts } from "../src/grab/recent.ts";

t.test("the answers of a user are told, newest first, of one round or of all", (t) => {
  const recent = new RecentAttempts();
  const before = Date.now();
  recent.note("ann", 1, 1, "not_open");
  recent.note("bob", 1, 1, "won");
  recent.note("ann", 1, 1, "won");
  recent.note("ann", 99, 7, "busy");
  const found = recent.of("ann", 10);
  t.match(found, [
    { round: 99, n: 7, result: "busy" },
    { round: 1, n: 1, result: "won" },
    { round: 1, n: 1, result: "not_open" },
  ]);
  t.ok(found.every(({ atMs }) => atMs >= before - 1 && atMs <= Date.now()));
  t.same(
    recent.of("ann", 10, 1).map(({ result }) => result),
    ["won", "not_open"],
  );
  t.equal(recent.of("ann", 2).length, 2);
  t.same(recent.of("carl", 10), []);
  t.ok(recent.sinceMs <= before);
  t.end();
});

t.test("it keeps the last ones only, and users apart", (t) => {
  const recent = new RecentAttempts();
  recent.note("first", 1, 1, "won");
  for (let i = 0; i < RECENT_MAX; i += 1) recent.note(`u${i}`, 1 + (i % 99), 1 + i, "ended");
  t.same(recent.of("first", 10), []);
  let wrong = 0;
  for (const i of [0, 1, 77, RECENT_MAX - 1]) {
    const found = recent.of(`u${i}`, 10);
    if (found.length !== 1 || found[0]!.round !== 1 + (i % 99) || found[0]!.n !== 1 + i) wrong += 1;
  }
  t.equal(wrong, 0);
  recent.note("many", 1, N_MAX + 5, "bad_request");
  t.equal(recent.of("many", 1)[0]!.n, N_MAX);
  t.end();
});
