/** Every answer of docs/openapi.yaml, seen; the words of failure each by what leads to it. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Test } from "tap";
import { waitUntil } from "@hongbao/infra";
import { answerTable } from "@hongbao/bucket-service";
import type { Answer, Ask } from "../haproxy/harness.ts";
import type { Victims } from "./attacks.ts";
import { ROUND, type Scene } from "./scene.ts";

/** Whoever asks too often; what is let through and how often is a test of the limits. */
export async function tooOften(t: Test, scene: Scene, { key, winners }: Victims): Promise<void> {
  const own = { headers: scene.bearer(winners[0]) };
  const calls: [path: string, ask: Ask][] = [
    [`/v1/rounds/${ROUND.all}/grab?k=${key}`, { method: "POST", ...own }],
    [`/v1/rounds/${ROUND.all}/result`, own],
    ["/v1/wins", own],
    ["/v1/receipts", { method: "POST", body: "[]", ...own }],
    ["/v1/session", { method: "POST", ...own }],
  ];
  await scene.setSwitch("limit.user", "1");
  for (const [path, how] of calls) {
    let answer = await scene.ask(path, how);
    for (let tries = 0; tries < 20 && answer.status !== 429; tries += 1) answer = await scene.ask(path, how);
    t.match(answer, { status: 429, json: { result: "limited" }, headers: { "retry-after": "1" } }, path);
  }
  await scene.setSwitch("limit.user", "off");
}

export async function everyAnswer(t: Test, scene: Scene, { key, winners }: Victims): Promise<void> {
  const [winner] = winners;
  const own = { headers: scene.bearer(winner) };
  const post = { method: "POST" };
  const grab = (round: number | string, user: string, query: string): Promise<Answer> =>
    scene.ask(`/v1/rounds/${round}/grab?${query}`, { ...post, headers: scene.bearer(user) });
  const expect = async (
    what: string,
    answer: Promise<Answer>,
    status: number,
    result?: string,
  ): Promise<void> => {
    const { status: found, json } = await answer;
    t.match(
      { found, result: json?.result },
      { found: status, ...(result === undefined ? {} : { result }) },
      what,
    );
  };
  const long = { "x-long": "a".repeat(9_000) };
  const ask = (path: string, options: Ask = {}): Promise<Answer> => scene.ask(path, options);

  await expect("a round that the event has not", grab(77, winner, `k=${key}`), 404, "no_such_round");
  await expect("no token", ask(`/v1/rounds/1/grab?k=${key}`, post), 401, "unauthorized");
  await expect("no token, for a result", ask("/v1/rounds/1/result"), 401, "unauthorized");
  await expect("no token, for wins", ask("/v1/wins"), 401, "unauthorized");
  await expect("no token, for receipts", ask("/v1/receipts", { ...post, body: "[]" }), 401, "unauthorized");
  await expect("no token, for a session", ask("/v1/session", post), 401, "unauthorized");
  await expect("n above perUser", grab(ROUND.all, winner, `k=${key}&n=2`), 400, "bad_request");
  await expect("a shut round", grab(ROUND.shut, winner, `k=${key}`), 403, "not_open");
  await expect("another key", grab(ROUND.all, scene.fresh(0), "k=other"), 403, "not_open");
  await expect("a user whom nobody knows", grab(ROUND.all, "nobody", `k=${key}`), 403, "not_eligible");
  await expect("a result of no round", ask("/v1/rounds/77/result", own), 404, "no_such_round");
  await expect("a long head", ask("/v1/wins", { headers: { ...own.headers, ...long } }), 400, "bad_request");
  await expect(
    "a long head, for a result",
    ask("/v1/rounds/1/result", { headers: { ...own.headers, ...long } }),
    400,
  );
  await expect(
    "receipts that are no list",
    ask("/v1/receipts", { ...post, ...own, body: "{}" }),
    400,
    "bad_request",
  );
  const many = JSON.stringify(Array.from({ length: 401 }, () => "x"));
  await expect("too many receipts", ask("/v1/receipts", { ...post, ...own, body: many }), 400, "bad_request");

  const staff = await scene.open(ROUND.staff);
  await expect(
    "a guest in a round for staff",
    grab(ROUND.staff, scene.users.at(-1)!, `k=${staff}`),
    403,
    "not_eligible",
  );
  await expect(
    "the second before the first",
    grab(ROUND.staff, winner, `k=${staff}&n=2`),
    400,
    "bad_request",
  );
  await expect("the first", grab(ROUND.staff, winner, `k=${staff}`), 200, "won");
  await expect("and then the second", grab(ROUND.staff, winner, `k=${staff}&n=2`), 200, "won");
  const item = await scene.open(ROUND.item);
  const items = await Promise.all([0, 1].map((bucket) => grab(ROUND.item, scene.fresh(bucket), `k=${item}`)));
  t.ok(
    items.some(({ json }) => (json?.prize as { kind: string } | undefined)?.kind === "item"),
    "an item",
  );
  await expect("a result", ask("/v1/rounds/1/result", own), 200);
  const { json } = await ask("/v1/wins", own);
  const wins = json?.wins as { receipt: string }[];
  t.equal(wins.length, 3, "wins");
  const body = JSON.stringify([wins[0]!.receipt, "x", wins[1]!.receipt.replace("b", "c")]);
  t.match((await ask("/v1/receipts", { ...post, ...own, body })).json, {
    receipts: [{ result: "known" }, { result: "refused", why: String }, { result: "refused" }],
  });
  await expect("a session", ask("/v1/session", { ...post, ...own }), 204);
  await expect("the schedule", ask("/rounds.json"), 200);
  await expect("a start file", ask("/start/1.js"), 200);
  await expect("a start file of no round", ask("/start/77.js"), 404, "not_found");
  await expect("the page", ask("/"), 200);
  await runDry(t, scene);
  await breakThings(t, scene);
}

/** A round that runs dry: first its buckets say so, then HAProxy for all of them, to whoever asks. */
async function runDry(t: Test, scene: Scene): Promise<void> {
  const key = await scene.open(ROUND.small);
  const path = `/v1/rounds/${ROUND.small}/grab?k=${key}`;
  const press = async (user: string): Promise<string> =>
    (await scene.ask(path, { method: "POST", headers: scene.bearer(user) })).json!.result!;
  const told = await Promise.all(Array.from({ length: 16 }, (_, n) => press(scene.fresh(n % 2))));
  t.equal(told.filter((word) => word === "won").length, 4, "all prizes go");
  const loser = [scene.fresh(0), scene.fresh(1)];
  const isEnded = async (): Promise<boolean> =>
    (await Promise.all(loser.map(press))).every((word) => word === "ended");
  await waitUntil(isEnded, { what: "ended", timeoutMsMax: 20_000 });
  const isOver = async (): Promise<boolean> =>
    (await scene.ask(path, { method: "POST" })).json?.result === "ended";
  await waitUntil(isOver, { what: "ended for whoever asks", timeoutMsMax: 20_000 });
  t.pass("ended, with a token and without");
}

/** Busy, which is all that people see of a fault. */
async function breakThings(t: Test, scene: Scene): Promise<void> {
  const { processes } = scene.cluster.now();
  const headers = scene.bearer(scene.fresh(1));
  const calls: [string, string, Ask][] = [
    ["a grab", `/v1/rounds/${ROUND.all}/grab?k=x`, { method: "POST", headers }],
    ["a result", `/v1/rounds/${ROUND.all}/result`, { headers }],
    ["wins", "/v1/wins", { headers }],
    ["receipts", "/v1/receipts", { method: "POST", headers, body: "[]" }],
  ];
  process.kill(processes.redis["b1"]!.pid, "SIGSTOP");
  for (const [what, path, options] of calls) {
    const isBusy = async (): Promise<boolean> => (await scene.ask(path, options)).status === 503;
    await waitUntil(isBusy, { what: `busy for ${what}`, timeoutMsMax: 30_000 });
  }
  process.kill(processes.redis["b1"]!.pid, "SIGCONT");
  t.pass("with Redis frozen all of them say busy");
  for (const path of ["/rounds.json", "/start/1.js", "/"]) {
    const isAway = async (): Promise<boolean> => {
      // Whoever is started again has the page back within a second or two.
      for (const pid of Object.values(scene.cluster.now().processes.controllers)) {
        try {
          process.kill(pid, "SIGKILL");
        } catch {
          // Gone already.
        }
      }
      await sleep(50);
      return (await scene.ask(path)).status === 503;
    };
    await waitUntil(isAway, { what: `busy for ${path}`, timeoutMsMax: 30_000 });
  }
  t.pass("and the page without controllers");
}

/** The document against the code's table, the rendered paths, and everything that these tests were told. */
export function contractHolds(t: Test, scene: Scene): void {
  const { contract, answers } = scene;
  const words = new Map(Object.entries(answerTable).map(([word, { status }]) => [word, new Set([status])]));
  t.same(contract.statuses(), words, "every word has its status, in the document and in the code");
  const config = readFileSync(join(scene.cluster.state, "balancer", "haproxy.cfg"), "utf8");
  const calls = Array.from(config.matchAll(/set-var\(txn\.call\).*\{ path (\/\S+) \}/g), ([, path]) => path!);
  t.ok(calls.length >= 3);
  for (const path of calls) t.ok(contract.document.paths[path], `${path} is documented`);
  const faults = new Set(
    answers.flatMap(({ method, path, answer }) => contract.faults(method, path, answer)),
  );
  t.same([...faults].slice(0, 10), [], `${answers.length} answers, and each is documented`);
  t.same(contract.unseen(), [], "and all that is documented was seen");
}
