import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import t from "tap";
import { temporaryState } from "@hongbao/infra";
import { Sampler } from "../src/rehearse/sampler.ts";
import { runWrk, type WrkJob } from "../src/rehearse/wrk.ts";

const USERS = 1_000;
const PRIZES = 600;

/** A balancer with one round: some first answers are `busy`, some connections are cut, some wins are forgotten. */
async function fakeBalancer(options: { cutEvery?: number; forget?: boolean; neverBusy?: boolean } = {}) {
  const wins = new Map<string, number>();
  const asked = new Map<string, number>();
  let requests = 0;
  const server: Server = createServer((request, response) => {
    const token = request.headers.authorization?.slice("Bearer ".length) ?? "";
    const answer = (status: number, body: object) => {
      response.statusCode = status;
      response.end(JSON.stringify(body));
    };
    if (request.url === "/v1/rounds/1/result") {
      const id = options.forget ? undefined : wins.get(token);
      return answer(200, { round: 1, wins: id === undefined ? [] : [won(id)] });
    }
    if (!request.url!.startsWith("/v1/rounds/1/grab?k=open")) return answer(404, { result: "not_found" });
    requests += 1;
    if (options.cutEvery && requests % options.cutEvery === 0) return response.destroy();
    asked.set(token, (asked.get(token) ?? 0) + 1);
    if (!options.neverBusy && asked.get(token) === 1 && asked.size % 10 === 0)
      return answer(503, { result: "busy" });
    if (!wins.has(token) && wins.size < PRIZES) wins.set(token, 1_000 + wins.size);
    return wins.has(token) ? answer(200, won(wins.get(token)!)) : answer(200, { result: "ended", round: 1 });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const close = () => {
    server.closeAllConnections();
    server.close();
  };
  return { url, close, asked };
}

const won = (id: number) => ({
  result: "won",
  round: 1,
  n: 1,
  prize: { id: String(id), kind: "envelope", amount: 5 },
});

function job(dir: string, url: string, change: Partial<WrkJob> = {}): WrkJob {
  const tokensPath = join(dir, "tokens");
  writeFileSync(tokensPath, Array.from({ length: USERS + 50 }, (_, i) => `u${i}\ttoken${i}\n`).join(""));
  return {
    url,
    round: 1,
    key: "open",
    perUser: 1,
    tokensPath,
    users: USERS,
    threads: 2,
    connections: 16,
    durationSecondsMax: 60,
    passesMax: 4,
    verify: true,
    ...change,
  };
}

t.test("every user asks, busy ones again, and every told win is found again", async (t) => {
  const balancer = await fakeBalancer();
  t.teardown(balancer.close);
  const figures = await runWrk(job(temporaryState(t), balancer.url));
  t.equal(figures.finished, true);
  t.equal(balancer.asked.size, USERS, "the first users of the list and no others");
  t.equal(figures.told_wins, figures.counts.won);
  t.equal(figures.told_amount, figures.told_wins * 5);
  t.equal(figures.verified, figures.told_wins);
  t.match(figures, { missing: 0, unanswered: 0, errors: { connect: 0, read: 0, write: 0, timeout: 0 } });
  t.ok(figures.counts.busy! > 0);
  const sum = (values: Record<string, number>) => Object.values(values).reduce((a, b) => a + b, 0);
  t.equal(sum(figures.answers), sum(figures.counts));
  t.equal(sum(figures.wins), figures.told_wins);
  t.equal(figures.results.ok, USERS);
});

t.test("one pass reaches every user once", async (t) => {
  const balancer = await fakeBalancer({ neverBusy: true });
  t.teardown(balancer.close);
  let starts = 0;
  const onStart = () => void (starts += 1);
  const figures = await runWrk(job(temporaryState(t), balancer.url, { verify: false, onStart }));
  t.same([...balancer.asked.values()], new Array(USERS).fill(1));
  t.same(figures.counts, { won: PRIZES, ended: USERS - PRIZES });
  t.equal(starts, 1);
});

t.test("a win that is not there any more is found missing", async (t) => {
  const balancer = await fakeBalancer({ forget: true });
  t.teardown(balancer.close);
  const figures = await runWrk(job(temporaryState(t), balancer.url));
  t.equal(figures.missing, figures.told_wins);
  t.equal(figures.verified, 0);
});

t.test("the time ends a load that does not end by itself", async (t) => {
  const balancer = await fakeBalancer({ cutEvery: 50 });
  t.teardown(balancer.close);
  const figures = await runWrk(
    job(temporaryState(t), balancer.url, { durationSecondsMax: 1, passesMax: 100 }),
  );
  t.equal(figures.finished, false);
  t.ok(figures.told_wins > 0);
});

t.test("nobody there is unreachable", async (t) => {
  const balancer = await fakeBalancer();
  balancer.close();
  await t.rejects(runWrk(job(temporaryState(t), balancer.url)), { message: /wrk against .*: / });
});

t.test("the sampler times answers by their kind and looks for its wins", async (t) => {
  const balancer = await fakeBalancer();
  t.teardown(balancer.close);
  const stop = new AbortController();
  const users = Array.from({ length: 40 }, (_, i) => ({ user: `u${i}`, token: `token${i}` }));
  const common = { url: balancer.url, round: 1, key: "open", perUser: 1, connections: 4 };
  const sampler = new Sampler({ ...common, users, stop: stop.signal });
  t.teardown(() => sampler.close());
  const running = sampler.run();
  while (balancer.asked.size < users.length || ![...balancer.asked.values()].some((times) => times > 1)) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  stop.abort();
  const samples = await running;
  t.equal(samples.latenciesMs.get("won")!.length, [...samples.told.values()].length);
  t.ok(samples.latenciesMs.has("busy"));
  t.equal(samples.errors, 0);
  t.match(await sampler.verify(), { missing: [], unknown: 0, verified: samples.told.size });
});
