import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { Agent, createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import t from "tap";
import { slotOf } from "@hongbao/preprocess";
import { CONFIG, writeWhole } from "../../src/haproxy/files.ts";
import { MAPS } from "../../src/haproxy/maps.ts";
import { render, TOKEN_KEY } from "../../src/haproxy/render.ts";
import { showMap, workerPid } from "../../src/haproxy/runtime.ts";
import {
  answerJson,
  ask,
  bearer,
  echo,
  eventually,
  KEY,
  PREVIOUS_KEY,
  startRig,
  tokenOf,
  type Rig,
} from "./harness.ts";

const users = Array.from({ length: 400 }, (_, n) => `u${n}`);
const usersOf = (bucket: number): string[] =>
  users.filter((user) => Math.floor(slotOf(user) / 512) === bucket);

t.test("no service is ready: busy at once, in this bucket only", async (t) => {
  const rig = await startRig(t, { servicesPerBucket: 2 });
  const [mine, other] = [usersOf(0)[0]!, usersOf(1)[0]!];
  for (const service of rig.services.b0!) service.ready = false;
  await eventually(async () => (await rig.grab(1, mine)).status === 503);
  const answer = await rig.grab(1, mine);
  t.match(answer, {
    status: 503,
    json: { result: "busy" },
    headers: { "retry-after": "1", "cache-control": "no-store" },
  });
  t.match(await ask(rig.port, "/v1/wins", { headers: bearer(mine) }), {
    status: 503,
    json: { result: "busy" },
  });
  t.match(await ask(rig.port, "/v1/wins"), { status: 401 }, "who asks is checked first");
  t.match(await rig.grab(1, other), { status: 200 }, "the other bucket does not notice");
  for (const service of rig.services.b0!) service.ready = true;
  await eventually(async () => (await rig.grab(1, mine)).status === 200);
  t.pass("and it comes back by itself");
});

t.test("one of two services not ready: the other one answers everything", async (t) => {
  const rig = await startRig(t, { servicesPerBucket: 2 });
  const [gone, left] = rig.services.b0!;
  gone!.ready = false;
  const user = usersOf(0)[0]!;
  await eventually(async () => {
    const before = gone!.requests;
    for (let n = 0; n < 4; n += 1) t.equal((await rig.grab(1, user)).status, 200);
    return gone!.requests === before;
  });
  t.ok(left!.requests > 0);
});

t.test("a service that takes a request and dies: another one answers it", async (t) => {
  const rig = await startRig(t, { servicesPerBucket: 2 });
  const [dying] = rig.services.b0!;
  dying!.handler = (request) => request.socket.destroy();
  for (const user of usersOf(0).slice(0, 20)) {
    t.match(await rig.grab(1, user), { status: 200, json: { service: "s1" } });
    const withBody = { method: "POST", headers: bearer(user), body: "x".repeat(100) };
    t.match(await ask(rig.port, "/v1/rounds/1/grab?k=x", withBody), { status: 200, json: { service: "s1" } });
  }
  t.ok(dying!.requests > 0, "it was asked");
});

t.test("a site that is away is busy, and no grab minds", async (t) => {
  const rig = await startRig(t);
  await rig.site.stop();
  await eventually(async () => (await ask(rig.port, "/")).status === 503);
  t.match(await ask(rig.port, "/rounds.json"), { status: 503, json: { result: "busy" } });
  t.match(await rig.grab(1, "u1"), { status: 200 });
  await rig.site.start();
  await eventually(async () => (await ask(rig.port, "/")).status === 200);
});

t.test(
  "a controller that is frozen keeps the site's port: another one answers, until it wakes",
  async (t) => {
    const other = createServer(echo("site", "c1"));
    await new Promise<void>((resolve) => other.listen(0, "127.0.0.1", resolve));
    t.teardown(() => {
      other.close();
      other.closeAllConnections();
    });
    const admin = `127.0.0.1:${(other.address() as AddressInfo).port}`;
    const rig = await startRig(t, { controllers: [{ id: "c1", admin }] });
    const awake = rig.site.handler;
    const servedBy = async (): Promise<unknown> => (await ask(rig.port, "/rounds.json")).json?.["service"];
    t.equal(await servedBy(), "site");
    rig.site.handler = () => undefined;
    t.match(
      await ask(rig.port, "/rounds.json", { headers: { "x-hongbao-site": "2", authorization: "Bearer x" } }),
      { status: 200, json: { service: "c1", headers: { "x-hongbao-site": "1", authorization: undefined } } },
      "asked for the site alone",
    );
    await eventually(async () => (await servedBy()) === "c1");
    rig.site.handler = awake;
    await eventually(async () => (await servedBy()) === "site");
  },
);

t.test("every fault of a service is told as busy, in JSON", async (t) => {
  const rig = await startRig(t);
  const service = rig.services.b0![0]!;
  const user = usersOf(0)[0]!;
  const busy = {
    status: 503,
    json: { result: "busy" },
    headers: {
      "retry-after": "1",
      "cache-control": "no-store",
      "content-type": "application/json; charset=utf-8",
    },
  };
  service.handler = (request) => request.socket.destroy();
  t.match(await rig.grab(1, user), busy, "no answer");
  service.handler = (request) => request.socket.end("nonsense\r\n\r\n");
  t.match(await rig.grab(1, user), busy, "nonsense");
  const slowMs = 3_500;
  service.handler = (request, response) => {
    if (request.url === "/v1/receipts") setTimeout(() => answerJson(response, 200, {}), slowMs);
  };
  const receipts = { method: "POST", headers: bearer(user), body: "[]" };
  const [silence, slow] = await Promise.all([rig.grab(1, user), ask(rig.port, "/v1/receipts", receipts)]);
  t.match(silence, busy, "silence");
  t.match(slow, { status: 200 }, "receipts get the time that they need");
});

interface Load {
  stop(): Promise<{ answers: number; errors: string[] }>;
}

/** Users who press again and again over kept connections, until stopped. */
function press(rig: Rig, who: string[], clients = 12): Load {
  const agent = new Agent({ keepAlive: true, maxSockets: clients });
  const errors: string[] = [];
  let answers = 0;
  let on = true;
  const loops = Array.from({ length: clients }, async (_, client) => {
    for (let n = client; on; n += clients) {
      const user = who[n % who.length]!;
      try {
        const answer = await ask(rig.port, "/v1/rounds/1/grab?k=x", {
          method: "POST",
          headers: bearer(user),
          agent,
        });
        answers += 1;
        if (answer.status !== 200) errors.push(`${answer.status} ${answer.text.slice(0, 100)}`);
      } catch (error) {
        errors.push(String(error));
      }
    }
  });
  return {
    async stop() {
      on = false;
      await Promise.all(loops);
      agent.destroy();
      return { answers, errors };
    },
  };
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

t.test("reloads under load: no error, no refused connection", async (t) => {
  const rig = await startRig(t, { servicesPerBucket: 2 });
  const load = press(rig, users);
  const masterPid = rig.master.pid;
  const workers = new Set([await workerPid(rig.master.runtime)]);
  for (let n = 0; n < 5; n += 1) {
    await pause(150);
    writeWhole(
      rig.dir,
      CONFIG,
      render(rig.topology, null, { threads: 1 + (n % 2), connectionsMax: 1_000, door: "http" }),
    );
    await rig.master.check();
    await rig.master.reload();
    workers.add(await workerPid(rig.master.runtime));
  }
  await pause(150);
  const { answers, errors } = await load.stop();
  t.same(errors, []);
  t.ok(answers > 100, `${answers} answers`);
  t.equal(workers.size, 6, "each time another worker");
  t.equal(rig.master.pid, masterPid, "of the same master");
});

t.test(
  "new keys under load: a new master takes over, the old key goes on counting as the previous one",
  async (t) => {
    const rig = await startRig(t, { servicesPerBucket: 2 });
    const load = press(rig, users);
    const before = rig.master.pid;
    await pause(150);
    const { TOKEN_KEY_PREVIOUS } = await import("../../src/haproxy/render.ts");
    await rig.master.reload({ [TOKEN_KEY]: PREVIOUS_KEY, [TOKEN_KEY_PREVIOUS]: KEY });
    t.not(rig.master.pid, before);
    await pause(300);
    const { answers, errors } = await load.stop();
    t.same(errors, []);
    t.ok(answers > 50, `${answers} answers`);
    const wins = async (key: string): Promise<number> =>
      (await ask(rig.port, "/v1/wins", { headers: { authorization: `Bearer ${tokenOf("u1", key)}` } }))
        .status;
    t.equal(await wins(KEY), 200);
    t.equal(await wins(PREVIOUS_KEY), 200);
  },
);

t.test("a reload finds the maps of the files", async (t) => {
  const rig = await startRig(t);
  await rig.setRounds({ 1: "over" });
  writeWhole(rig.dir, MAPS.rounds, "/v1/rounds/1/grab live\n/v1/rounds/2/grab over\n");
  await rig.master.reload();
  t.same(
    [...(await showMap(rig.master.runtime, MAPS.rounds))],
    [
      ["/v1/rounds/1/grab", "live"],
      ["/v1/rounds/2/grab", "over"],
    ],
  );
});

t.test("haproxy killed: the next one is there at once", async (t) => {
  const rig = await startRig(t);
  for (const victim of ["master", "worker", "worker"]) {
    const [master, worker] = [rig.master.pid!, await workerPid(rig.master.runtime)];
    process.kill(victim === "master" ? master : worker, "SIGKILL");
    await eventually(async () => {
      const pid = await workerPid(rig.master.runtime).catch(() => worker);
      return pid !== worker && rig.master.pid !== null;
    });
    await eventually(async () => (await rig.grab(1, "u1").catch(() => null))?.status === 200);
    t.pass(`after the ${victim} was killed`);
  }
});

t.test("a soft stop lets the request under way finish", async (t) => {
  const rig = await startRig(t);
  const service = rig.services.b0![0]!;
  let release: () => void = () => undefined;
  const arrived = new Promise<void>((resolve) => {
    service.handler = (_request, response) => {
      release = () => response.end("{}");
      resolve();
    };
  });
  const answer = rig.grab(1, usersOf(0)[0]!);
  await arrived;
  const stopped = rig.master.stop();
  await eventually(() =>
    ask(rig.port, "/v1/wins").then(
      () => false,
      () => true,
    ),
  );
  release();
  t.equal((await answer).status, 200);
  await stopped;
  t.equal(rig.master.pid, null);
});

t.test("an address that is taken, a file that is wrong: one message with HAProxy's reason", async (t) => {
  const rig = await startRig(t);
  const good = render(rig.topology, null, { door: "http" });
  writeWhole(rig.dir, CONFIG, good.replace("timeout connect", "timeout conect"));
  await t.rejects(rig.master.check(), { exitCode: 2, message: /refuses .*haproxy\.cfg: .*conect/ });
  t.match(await rig.grab(1, "u1"), { status: 200 }, "what runs goes on");
  writeWhole(rig.dir, CONFIG, good.replace(/bind 127\.0\.0\.1:\d+/, "bind 192.0.2.1:80"));
  await rig.master.stop();
  await t.rejects(rig.master.start(), { exitCode: 3, message: /did not come up: .*192\.0\.2\.1:80/ });
});

t.test("kill -9 of a service under load: no answer is lost", async (t) => {
  const rig = await startRig(t, { servicesPerBucket: 2 });
  const victim = rig.services.b0![0]!;
  await victim.stop();
  const start = async (): Promise<ChildProcess> => {
    const child = fork(join(import.meta.dirname, "service.ts"), [victim.http, victim.admin], {
      execArgv: ["--disable-warning=ExperimentalWarning"],
    });
    t.teardown(() => child.kill("SIGKILL"));
    await once(child, "message");
    return child;
  };
  let child = await start();
  await eventually(async () => (await rig.grab(1, usersOf(0)[0]!)).json?.service === "forked");
  const load = press(rig, usersOf(0));
  for (let n = 0; n < 3; n += 1) {
    await pause(200);
    child.kill("SIGKILL");
    await once(child, "exit");
    await pause(200);
    child = await start();
  }
  const { answers, errors } = await load.stop();
  t.same(errors, []);
  t.ok(answers > 100, `${answers} answers`);
});
