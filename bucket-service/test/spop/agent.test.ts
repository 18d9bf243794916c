import t from "tap";
import { fakeAgent, fakeWriter, prizeOf, PREVIOUS_SECRET, SECRET, until } from "./fake.ts";
import { frame, hello, message, notify, readActions, readPairs, SpopClient, type Value } from "./client.ts";

function args(user: string, more: Record<string, Value> = {}): Record<string, Value> {
  return { secret: SECRET, round: "1", user, key: "k1", n: null, ...more };
}

function won(user: string, n = 1, round = 1): Record<string, Value> {
  const text = fakeWriter.won(round, user, n, prizeOf(user, round, n));
  return { "txn.status": 200, "txn.body": text };
}

/** The code of the AGENT-DISCONNECT that comes next, and that nothing but the end comes after it. */
async function goodbye(client: SpopClient): Promise<number> {
  const last = await client.next();
  if (last?.type !== 102) throw new Error(`expected AGENT-DISCONNECT, found ${last?.type ?? "the end"}`);
  if ((await client.next()) !== null) throw new Error("a frame after AGENT-DISCONNECT");
  return readPairs(last.payload)["status-code"] as number;
}

t.test("HELLO, a question, its answer, and good-bye", async (t) => {
  const { port, core, tally } = await fakeAgent(t);
  const client = await SpopClient.open(port);
  client.socket.write(hello({ capabilities: "pipelining", "max-frame-size": 8192 }));
  const greeting = await client.next();
  t.equal(greeting?.type, 101);
  t.same(readPairs(greeting!.payload), {
    version: "2.0",
    "max-frame-size": 8192,
    capabilities: "pipelining",
  });
  t.same(await client.ask(1, args("u1")), won("u1"));
  t.same(await client.ask(2, args("later-u2", { n: "2", round: "2" })), won("later-u2", 2, 2));
  t.same(core.asks, [
    { round: 1, user: "u1", n: 1, key: "k1", secondPass: false, often: false },
    { round: 2, user: "later-u2", n: 2, key: "k1", secondPass: false, often: false },
  ]);
  client.socket.write(frame(2, Buffer.alloc(0)));
  t.equal(await goodbye(client), 0);
  t.same([...tally], [["won", 2]]);
});

t.test("a crowded service says with each answer how many it bears", async (t) => {
  const { port, core } = await fakeAgent(t);
  const client = await SpopClient.ready(port);
  t.notOk("txn.window" in (await client.ask(1, args("u1")))!);
  core.window = 300;
  t.match(await client.ask(2, args("u1")), { "txn.status": 200, "txn.window": 300 });
  t.match(await client.ask(3, args("busy")), { "txn.status": 503, "txn.window": 300 });
});

t.test("whoever had asked a moment before is told apart", async (t) => {
  const { port } = await fakeAgent(t);
  const client = await SpopClient.ready(port);
  t.notOk("txn.often" in (await client.ask(1, args("u1")))!);
  t.match(await client.ask(2, args("often")), { "txn.status": 200, "txn.often": true });
  t.notOk("txn.often" in (await client.ask(3, args("u1")))!);
});

t.test("every refusal carries its status, Retry-After and stock", async (t) => {
  const { port } = await fakeAgent(t);
  const client = await SpopClient.ready(port);
  const ask = async (more: Record<string, Value>): Promise<Record<string, Value> | null> =>
    client.ask(1, { ...args("u1"), ...more });
  t.match(await ask({ user: "ended-7" }), { "txn.status": 200, "txn.stock": 7 });
  const ended = await ask({ user: "ended" });
  t.match(ended, { "txn.status": 200, "txn.body": '{"result":"ended","round":1}' });
  t.notOk("txn.stock" in ended!, "no stock number, nothing to learn");
  t.notOk("txn.retry" in ended!);
  t.match(await ask({ user: "busy" }), { "txn.status": 503, "txn.retry": 1 });
  t.match(await ask({ user: "stranger" }), { "txn.status": 403, "txn.body": /not_eligible/ });
  t.match(await ask({ user: "closed" }), {
    "txn.status": 403,
    "txn.body": /"opensAt":"2027-02-05T12:00:00.000Z"/,
  });
  t.match(await ask({ user: "" }), { "txn.status": 401 });
  t.match(await ask({ n: "0" }), { "txn.status": 400, "txn.body": /a whole number from 1/ });
  t.match(await ask({ user: "bad" }), { "txn.status": 400, "txn.body": /1 to perUser/ });
  t.match(await ask({ round: "42", user: "", n: "x" }), {
    "txn.status": 404,
    "txn.body": '{"result":"no_such_round","round":42}',
  });
  t.same(await client.ask(1, { ...args("u1"), round: "no" }), {}, "a question that is none gets no answer");
});

t.test("frames may be split at every byte", async (t) => {
  const { port } = await fakeAgent(t);
  const client = await SpopClient.open(port);
  const bytes = Buffer.concat([hello(), notify(1, args("u1")), notify(300, args("u2"))]);
  for (let at = 0; at < bytes.length; at += 1) {
    await new Promise((resolve) => client.socket.write(bytes.subarray(at, at + 1), resolve));
    if (at % 7 === 0) await new Promise(setImmediate);
  }
  t.equal((await client.next())?.type, 101);
  for (const [streamId, user] of [
    [1, "u1"],
    [300, "u2"],
  ] as const) {
    const ack = await client.next();
    t.equal(ack?.streamId, streamId);
    t.same(readActions(ack!.payload), won(user));
  }
  client.end();
  // Two parts, at every place.
  const questions = Buffer.concat([notify(7, args("u7")), notify(8, args("u8"))]);
  const other = await SpopClient.ready(port);
  for (let at = 1; at < questions.length; at += 1) {
    other.socket.write(questions.subarray(0, at));
    await new Promise(setImmediate);
    other.socket.write(questions.subarray(at));
    if ((await other.next())?.streamId !== 7 || (await other.next())?.streamId !== 8)
      t.fail(`split at ${at}`);
  }
});

t.test("many frames may come at once, and answers overtake each other", async (t) => {
  const { port, core } = await fakeAgent(t);
  const client = await SpopClient.ready(port);
  const questions = [notify(1, args("hold-u1"))];
  for (let id = 2; id <= 900; id += 1) questions.push(notify(id, args(`later-u${id}`)));
  client.socket.write(Buffer.concat(questions));
  const seen = new Set<number>();
  for (let i = 2; i <= 900; i += 1) {
    const ack = await client.next();
    if (readActions(ack!.payload)["txn.body"] !== won(`later-u${ack!.streamId}`)["txn.body"])
      t.fail("another's answer");
    seen.add(ack!.streamId);
  }
  t.equal(seen.size, 899);
  core.release();
  t.match(await client.next(), { streamId: 1 });
});

t.test("a health check is answered, and closed", async (t) => {
  const { port, agent } = await fakeAgent(t);
  const check = await SpopClient.open(port);
  check.socket.write(hello({ healthcheck: true, capabilities: "" }));
  const answer = await check.next();
  t.equal(answer?.type, 101);
  t.same(readPairs(answer!.payload), { version: "2.0", "max-frame-size": 16_380, capabilities: "" });
  t.equal(await check.next(), null);
  agent.drain();
  const draining = await SpopClient.open(port);
  draining.socket.write(hello({ healthcheck: true }));
  t.equal(await goodbye(draining), 13);
});

t.test("the previous secret is taken, a wrong one ends the connection, and no other", async (t) => {
  const { port, core, faults } = await fakeAgent(t);
  const good = await SpopClient.ready(port);
  t.same(await good.ask(1, args("u1", { secret: PREVIOUS_SECRET })), won("u1"));
  for (const secret of ["", "wrong", SECRET.slice(1), `${SECRET}x`, null, 17]) {
    const bad = await SpopClient.ready(port);
    bad.socket.write(Buffer.concat([notify(1, args("thief", { secret })), notify(2, args("thief"))]));
    t.equal(await goodbye(bad), 100);
  }
  // Also after good questions.
  const turned = await SpopClient.ready(port);
  t.same(await turned.ask(1, args("u1")), won("u1"));
  turned.socket.write(notify(2, args("thief", { secret: "x" })));
  t.equal(await goodbye(turned), 100);
  t.notOk(core.asks.some(({ user }) => user === "thief"));
  t.same(await good.ask(2, args("u2")), won("u2"));
  t.match(faults, [/the secret is wrong/], "told once a second");
  t.notOk(faults.some((fault) => fault.includes(SECRET) || fault.includes('wrong"')));
});

t.test("damaged and unknown frames end their connection with the right code", async (t) => {
  const { port } = await fakeAgent(t);
  const bystander = await SpopClient.ready(port);
  const length = (value: number): Buffer => {
    const bytes = Buffer.alloc(40);
    bytes.writeUInt32BE(value);
    return bytes;
  };
  const payload = message("grab", args("u1"));
  for (const [what, bytes, code] of [
    ["a frame of nothing", length(0), 4],
    ["a frame that is too short", length(6), 4],
    ["a frame that is too long", length(16_381), 3],
    ["a frame without end", length(0xffffffff), 3],
    ["a fragment", frame(3, payload, { streamId: 1, frameId: 1, flags: 0 }), 10],
    ["the rest of a fragment", frame(0, payload, { streamId: 1, frameId: 1 }), 4],
    ["an unknown type", frame(77, payload, { streamId: 1, frameId: 1 }), 4],
    ["an agent's frame", frame(103, payload, { streamId: 1, frameId: 1 }), 4],
    ["a second HELLO", hello(), 4],
    ["a payload that is cut off", frame(3, payload.subarray(0, -3), { streamId: 1, frameId: 1 }), 4],
    [
      "IDs that do not end",
      Buffer.concat([Buffer.from([0, 0, 0, 20, 3, 0, 0, 0, 1]), Buffer.alloc(15, 255)]),
      4,
    ],
  ] as const) {
    const client = await SpopClient.ready(port);
    client.socket.write(bytes);
    t.equal(await goodbye(client), code, what);
  }
  for (const [what, bytes, code] of [
    ["NOTIFY first", notify(1, args("u1")), 4],
    ["another version", hello({ "supported-versions": "3.0" }), 8],
    ["small frames", hello({ "max-frame-size": 100 }), 9],
    ["HTTP", Buffer.from("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), 3],
    ["a fragmented HELLO", frame(1, Buffer.alloc(0), { flags: 0 }), 10],
  ] as const) {
    const client = await SpopClient.open(port);
    client.socket.write(bytes);
    t.equal(await goodbye(client), code, what);
  }
  t.same(await bystander.ask(1, args("u1")), won("u1"));
});

t.test("an answer that HAProxy could not take is left to the HTTP door", async (t) => {
  const { port } = await fakeAgent(t);
  const client = await SpopClient.ready(port, { "max-frame-size": 256 });
  t.same(await client.ask(1, args("u".repeat(60))), {});
  t.match(await client.ask(2, args("ended")), { "txn.status": 200 });
});

t.test("what the core does not answer in time is busy, once", async (t) => {
  const { port, core, agent, tally } = await fakeAgent(t, { policy: { answerMsMax: 30, answerTickMs: 5 } });
  const client = await SpopClient.ready(port);
  client.socket.write(Buffer.concat([notify(1, args("hold-u1")), notify(2, args("hold-u2"))]));
  for (const streamId of [1, 2]) {
    const ack = await client.next();
    t.equal(ack?.streamId, streamId);
    t.match(readActions(ack!.payload), { "txn.status": 503, "txn.retry": 1, "txn.body": /"busy"/ });
  }
  t.equal(agent.waiting, 2, "still in the core");
  core.release();
  t.equal(agent.waiting, 0);
  t.same(await client.ask(3, args("u3")), won("u3"), "the late answers were thrown away");
  t.same(
    [...tally],
    [
      ["busy", 2],
      ["won", 1],
    ],
  );
});

t.test("questions are bounded, for each connection and in all", async (t) => {
  const policy = { questionsPerConnectionMax: 3, questionsMax: 5 };
  const { port, core, agent } = await fakeAgent(t, { policy });
  const first = await SpopClient.ready(port);
  const second = await SpopClient.ready(port);
  for (let id = 1; id <= 4; id += 1) first.socket.write(notify(id, args(`hold-a${id}`)));
  const busy = await first.next();
  t.equal(busy?.streamId, 4);
  t.match(readActions(busy!.payload), { "txn.status": 503 });
  for (let id = 1; id <= 3; id += 1) second.socket.write(notify(id, args(`hold-b${id}`)));
  t.equal((await second.next())?.streamId, 3, "five in all");
  t.equal(agent.waiting, 5);
  core.release();
  for (let i = 0; i < 3; i += 1) t.match(readActions((await first.next())!.payload), { "txn.status": 200 });
  for (let i = 0; i < 2; i += 1) t.match(readActions((await second.next())!.payload), { "txn.status": 200 });
  t.same(await first.ask(9, args("u9")), won("u9"));
});

t.test("a connection that goes takes its questions along", async (t) => {
  const { port, core, agent } = await fakeAgent(t);
  const gone = await SpopClient.ready(port);
  gone.socket.write(notify(1, args("hold-u1")));
  await until("the question", () => core.held.length === 1);
  gone.end();
  await until("the end", () => agent.connections === 0);
  core.release();
  t.equal(agent.waiting, 0);
  const next = await SpopClient.ready(port);
  t.same(await next.ask(1, args("u2")), won("u2"));
});

t.test("strangers are closed, and the oldest makes room for newer ones", async (t) => {
  const { port, agent } = await fakeAgent(t, { policy: { sweepMs: 5, strangerMsMax: 30 } });
  t.equal(await goodbye(await SpopClient.open(port)), 2, "nothing said");
  const greeted = await SpopClient.open(port);
  greeted.socket.write(hello());
  t.equal((await greeted.next())?.type, 101);
  t.equal(await goodbye(greeted), 0, "nothing asked");
  await until("everyone's end", () => agent.connections === 0);

  const crowded = await fakeAgent(t, { policy: { strangersMax: 2, strangerMsMax: 1e6 } });
  const known = await SpopClient.ready(crowded.port);
  t.same(await known.ask(1, args("u1")), won("u1"));
  const crowd = [];
  for (let i = 0; i < 4; i += 1) crowd.push(await SpopClient.ready(crowded.port));
  await crowd[0]!.closed();
  await crowd[1]!.closed();
  t.same(await crowd[2]!.ask(1, args("u2")), won("u2"));
  t.same(await known.ask(2, args("u3")), won("u3"));
});

t.test("a frame that does not come whole ends its connection", async (t) => {
  const { port } = await fakeAgent(t, { policy: { sweepMs: 5, frameMsMax: 30 } });
  const slow = await SpopClient.ready(port);
  t.same(await slow.ask(1, args("u1")), won("u1"));
  slow.socket.write(notify(1, args("u2")).subarray(0, 20));
  t.equal(await goodbye(slow), 2);
});

t.test("an idle or old connection is closed, but not while it has something to do", async (t) => {
  for (const policy of [
    { sweepMs: 5, ageMsMax: 30 },
    { sweepMs: 5, idleMsMax: 30 },
  ]) {
    const { port, core } = await fakeAgent(t, { policy });
    const client = await SpopClient.open(port);
    client.socket.write(Buffer.concat([hello(), notify(1, args("hold-u1"))]));
    t.equal((await client.next())?.type, 101);
    await until("the question", () => core.held.length === 1);
    await new Promise((resolve) => setTimeout(resolve, 80));
    t.notOk(client.isClosed);
    core.release();
    t.same(readActions((await client.next())!.payload), won("hold-u1"));
    t.equal(await goodbye(client), 0);
  }
});

t.test("a peer that does not read is cut off, and harms nobody", async (t) => {
  const { port, agent } = await fakeAgent(t, {
    policy: { questionsPerConnectionMax: 1e6, questionsMax: 1e6 },
  });
  const deaf = await SpopClient.ready(port);
  deaf.socket.pause();
  const questions = Buffer.concat(Array.from({ length: 200 }, (_, id) => notify(id, args(`u${id}`))));
  const bystander = await SpopClient.ready(port);
  t.same(await bystander.ask(1, args("u1")), won("u1"));
  for (let i = 0; i < 2000 && agent.connections === 2; i += 1) {
    deaf.socket.write(questions);
    await new Promise(setImmediate);
  }
  await until("the cut", () => agent.connections === 1);
  t.same(await bystander.ask(2, args("u2")), won("u2"));
  deaf.end();
});

t.test("connections are bounded", async (t) => {
  const { port, agent } = await fakeAgent(t, { policy: { connectionsMax: 2 } });
  const clients = [await SpopClient.ready(port), await SpopClient.ready(port)];
  const third = await SpopClient.open(port);
  await third.closed();
  t.equal(agent.connections, 2);
  clients[0]!.end();
  await until("a free place", () => agent.connections === 1);
  const fourth = await SpopClient.ready(port);
  t.same(await fourth.ask(1, args("u1")), won("u1"));
});

t.test("stop answers what was asked, then says good-bye", async (t) => {
  const { port, core, agent } = await fakeAgent(t);
  const client = await SpopClient.ready(port);
  const idle = await SpopClient.ready(port);
  client.socket.write(Buffer.concat([notify(1, args("hold-u1")), notify(2, args("hold-u2"))]));
  await until("the questions", () => core.held.length === 2);
  agent.drain();
  const stopped = agent.stop(60_000);
  t.equal(await goodbye(idle), 0);
  core.release();
  t.same(readActions((await client.next())!.payload), won("hold-u1"));
  t.same(readActions((await client.next())!.payload), won("hold-u2"));
  t.equal(await goodbye(client), 0);
  await stopped;
  await t.rejects(SpopClient.open(port));
});

t.test("stop ends, also when the core does not answer", async (t) => {
  const { port, core, agent } = await fakeAgent(t);
  const client = await SpopClient.ready(port);
  client.socket.write(notify(1, args("hold-u1")));
  await until("the question", () => core.held.length === 1);
  await agent.stop(30);
  await client.closed();
  core.release();
  t.equal(agent.waiting, 0);
});
