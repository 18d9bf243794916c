import { Agent } from "node:http";
import { connect } from "node:net";
import t, { type Test } from "tap";
import { OFTEN_HEADER } from "@hongbao/bucket-service";
import {
  answerJson,
  ask,
  bearer,
  eventually,
  startRig,
  type Answer,
  type Ask,
  type Rig,
  type RigOptions,
} from "./harness.ts";

const LIMITS = { user: 5, ip: 50 };
const GRAB = "/v1/rounds/1/grab?k=x";

const CONNECTIONS = 32;

/** Services that tell HAProxy, each for itself, of a user whom they hear of a second time; they limit nobody. */
async function startCountingRig(t: Test, options: RigOptions): Promise<Rig> {
  const rig = await startRig(t, options);
  for (const service of Object.values(rig.services).flat()) {
    const seen = new Set<string>();
    const answer = service.handler;
    service.handler = (request, response) => {
      const user = request.headers.authorization ?? "";
      if (seen.has(user)) response.setHeader(OFTEN_HEADER, "1");
      seen.add(user);
      answer(request, response);
    };
  }
  return rig;
}

/** Some connections that stay open. */
function connections(t: Test, count = CONNECTIONS): Agent {
  const agent = new Agent({ keepAlive: true, maxSockets: count });
  t.teardown(() => agent.destroy());
  return agent;
}

async function many(count: number, once: (index: number) => Promise<Answer>): Promise<Answer[]> {
  return Promise.all(Array.from({ length: count }, (_, index) => once(index)));
}

const tally = (answers: Answer[]): Record<number, number> =>
  Object.fromEntries(
    [...Map.groupBy(answers, ({ status }) => status)].map(([status, list]) => [status, list.length]),
  );

const post = (rig: Rig, more: Ask): Promise<Answer> => ask(rig.port, GRAB, { method: "POST", ...more });

async function setLimit(rig: Rig, figures: typeof LIMITS): Promise<void> {
  for (const name of ["user", "ip"] as const) {
    const words = `experimental-mode on; set var proc.limit_${name} int(${figures[name]})`;
    t.equal((await rig.master.runtime.command(words)).trim(), "");
  }
}

t.test("users are limited as users, wherever they are and whatever they ask", async (t) => {
  const services = 2;
  const rig = await startCountingRig(t, { limits: LIMITS, servicesPerBucket: services });
  const agent = connections(t);
  /** Until a user is known to ask often. */
  const becomeKnown = async (user: string): Promise<void> => {
    for (let count = 0; count <= services; count += 1) await post(rig, { headers: bearer(user), agent });
  };

  t.test("a thousand presses: ten get through when the user is known, and then five a second", async (t) => {
    await becomeKnown("u1");
    const began = performance.now();
    const answers = await many(1_000, () => post(rig, { headers: bearer("u1"), agent }));
    const seconds = (performance.now() - began) / 1000;
    const through = tally(answers)[200]!;
    t.ok(through >= 10 && through <= 10 + 5 * seconds, `${through} in ${seconds} s`);
    t.equal(through + tally(answers)[429]!, 1_000);
    const limited = answers.find(({ status }) => status === 429)!;
    t.same(limited.json, { result: "limited" });
    t.match(limited.headers, { "retry-after": "1", "cache-control": "no-store" });
    t.match(limited.headers["content-type"], /^application\/json/);
    await eventually(async () => (await post(rig, { headers: bearer("u1"), agent })).status === 200);
  });

  t.test("a user whom nobody knows: those under way get through as well, no more", async (t) => {
    const began = performance.now();
    const answers = await many(1_000, () => post(rig, { headers: bearer("new"), agent }));
    const seconds = (performance.now() - began) / 1000;
    const through = tally(answers)[200]!;
    t.ok(through <= CONNECTIONS + services + 10 + 5 * seconds, `${through} in ${seconds} s`);
  });

  t.test("what HAProxy answers by itself is counted by itself", async (t) => {
    const headers = bearer("often");
    const answers = await many(100, () => ask(rig.port, "/v1/session", { method: "POST", headers, agent }));
    const { 204: served = 0, 429: limited = 0 } = tally(answers);
    t.equal(served + limited, 100);
    t.ok(served >= 10 && limited >= 50, `${served} served`);
  });

  t.test("thousands behind one address do not meet each other", async (t) => {
    const answers = await many(5_000, (index) => post(rig, { headers: bearer(`office-${index}`), agent }));
    t.same(tally(answers), { 200: 5_000 });
  });

  t.test("every call takes from the same budget", async (t) => {
    const headers = bearer("u2");
    const calls: [string, string][] = [
      ["POST", GRAB],
      ["GET", "/v1/rounds/1/result"],
      ["GET", "/v1/wins"],
      ["POST", "/v1/receipts"],
      ["POST", "/v1/session"],
    ];
    const once = (index: number): Promise<Answer> => {
      const [method, path] = calls[index % calls.length]!;
      return ask(rig.port, path, { method, headers, agent });
    };
    for (let index = 0; index < 10; index += 1) t.match((await once(index)).status, /^20[04]$/);
    await many(10, () => post(rig, { headers, agent }));
    // Three seconds of presses would be let through meanwhile; most of what comes at once is not.
    const answers = await many(50, once);
    t.ok((tally(answers)[429] ?? 0) >= 30);
    for (const [index, [, path]] of calls.entries()) {
      t.ok(
        answers.some(({ status }, at) => at % calls.length === index && status === 429),
        path,
      );
    }
  });

  t.test("the order of the answers: 404, 401 and 400 before 429", async (t) => {
    const headers = bearer("u3");
    await becomeKnown("u3");
    const over = async (): Promise<Answer[]> => many(20, () => post(rig, { headers, agent }));
    await over();
    const path = (round: number, query: string) => `/v1/rounds/${round}/grab?${query}`;
    t.match(await ask(rig.port, path(9, "k=x"), { method: "POST", headers }), { status: 404 });
    t.match(await ask(rig.port, path(1, "k=x&n=0"), { method: "POST", headers }), { status: 400 });
    t.match(await post(rig, {}), { status: 401 });
    t.ok((await over()).some(({ status }) => status === 429));
    await rig.setRounds({ 1: "over" });
    t.match(await post(rig, { headers }), { status: 200, json: { result: "ended" } });
    await rig.setRounds({ 1: "live" });
  });

  t.test("the figures can be changed while it runs, and 0 is no limit", async (t) => {
    await setLimit(rig, { user: 0, ip: 0 });
    t.same(tally(await many(100, () => post(rig, { headers: bearer("u4"), agent }))), { 200: 100 });
    await setLimit(rig, { user: 1, ip: 50 });
    await becomeKnown("u5");
    const answers = await many(100, () => post(rig, { headers: bearer("u5"), agent }));
    t.ok(tally(answers)[429]! >= 90);
    await setLimit(rig, LIMITS);
  });
});

t.test("addresses are limited for what comes without a valid token", async (t) => {
  const rig = await startRig(t, { limits: LIMITS });
  const agent = connections(t);
  const invalid = [{}, { authorization: "Bearer x" }, { authorization: `${bearer("u1").authorization!}x` }];

  t.test("half of all traffic, from one address: the others do not notice", async (t) => {
    const half = 1_000;
    const flood = many(half, (index) =>
      post(rig, { from: "127.0.0.2", headers: invalid[index % 3]!, agent }),
    );
    const others = await many(half, (index) => post(rig, { headers: bearer(`u${index}`), agent }));
    t.same(tally(others), { 200: half });
    const counts = tally(await flood);
    t.equal(counts[401]! + counts[429]!, half);
    t.ok(counts[401]! >= 100 && counts[429]! > 0, JSON.stringify(counts));
    const limited = (await flood).find(({ status }) => status === 429)!;
    t.same(limited.json, { result: "limited" });
    t.match(limited.headers, { "retry-after": "1" });
  });

  t.test("who has a token is served behind that address all the same", async (t) => {
    const flood = many(300, () => post(rig, { from: "127.0.0.2", agent }));
    const users = await many(300, (index) =>
      post(rig, { from: "127.0.0.2", headers: bearer(`v${index}`), agent }),
    );
    t.same(tally(users), { 200: 300 });
    t.ok(tally(await flood)[429]! > 0);
    t.match(await post(rig, { from: "127.0.0.3" }), { status: 401 }, "another address has its own budget");
  });

  t.test("a header does not make another address", async (t) => {
    const headers = (index: number) => ({
      "x-forwarded-for": `10.0.0.${index % 250}`,
      forwarded: `for=10.0.0.${index % 250}`,
    });
    const answers = await many(300, (index) =>
      post(rig, { from: "127.0.0.4", headers: headers(index), agent }),
    );
    t.ok(tally(answers)[429]! > 0);
  });
});

t.test("the page's files have a wide limit of their own", async (t) => {
  const rig = await startRig(t, { limits: { user: 5, ip: 1 } });
  rig.site.handler = (_request, response) => answerJson(response, 200, {});
  const agent = connections(t);
  const answers = await many(600, () => ask(rig.port, "/start/1.js", { agent }));
  const { 200: served, 429: limited } = tally(answers) as { 200: number; 429: number };
  t.ok(served >= 400 && limited > 0, `${served} served, ${limited} limited`);
  t.match(await post(rig, { headers: bearer("u1") }), { status: 200 }, "nothing else is touched by it");
  t.match(await post(rig, {}), { status: 401 });
  t.match(await ask(rig.port, "/start/1.js", { from: "127.0.0.2" }), { status: 200 });
});

/** A request over a connection that begins with a PROXY line; answers the status. */
function proxied(port: number, source: string): Promise<number> {
  const family = source.includes(":") ? "TCP6" : "TCP4";
  const target = source.includes(":") ? "2001:db8::1" : "192.0.2.1";
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1");
    socket.on("error", reject);
    socket.setEncoding("utf8");
    socket.once("data", (text: string) => {
      socket.destroy();
      resolve(Number(/^HTTP\/1\.1 (\d+)/.exec(text)?.[1]));
    });
    socket.write(
      `PROXY ${family} ${source} ${target} 40000 443\r\nPOST ${GRAB} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n`,
    );
  });
}

t.test("behind a load balancer its word counts, and a /64 is one address", async (t) => {
  const rig = await startRig(t, { limits: { user: 5, ip: 2 }, proxyProtocol: true });
  const statuses = async (sources: string[]): Promise<number[]> => {
    const found: number[] = [];
    for (const source of sources) found.push(await proxied(rig.port, source));
    return found;
  };
  const sources = Array.from({ length: 12 }, (_, index) => `2001:db8:0:1:${index}::${index}`);
  const shared = await statuses(sources);
  t.same(shared.slice(0, 4), [401, 401, 401, 401]);
  t.ok(shared.includes(429), shared.join(" "));
  t.same(await statuses(["2001:db8:0:2::1", "198.51.100.7", "198.51.100.8"]), [401, 401, 401]);
  const one = await statuses(Array.from({ length: 12 }, () => "198.51.100.7"));
  t.ok(one.includes(429), one.join(" "));
  t.equal(await proxied(rig.port, "198.51.100.8"), 401, "an IPv4 address stands for itself");
  await t.rejects(ask(rig.port, "/v1/wins"), "nobody comes past the load balancer");
});

t.test("IPv4 clients of an IPv6 socket are not one address", async (t) => {
  const rig = await startRig(t, { limits: { user: 5, ip: 1 }, host: "[::]" });
  const answers = await many(20, () => post(rig, { from: "127.0.0.2" }));
  t.ok(tally(answers)[429]! > 0);
  t.match(await post(rig, { from: "127.0.0.3" }), { status: 401 });
});
