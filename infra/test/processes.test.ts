import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import t from "tap";
import {
  freePort,
  lockDirectory,
  processesIn,
  reserve,
  spawnChild,
  Supervisor,
  temporaryState,
  waitUntil,
  type ChildSpec,
} from "@hongbao/infra";
import { backoffMs } from "../src/processes/supervisor.ts";

/** A child that runs until it is killed; the directory is its working directory, so that a leak is found. */
const sleeper = (dir: string, name = "sleeper"): ChildSpec => ({
  name,
  command: "sleep",
  args: ["1000"],
  cwd: dir,
  logPath: join(dir, "log"),
});

const none = async (dir: string) => processesIn(dir).length === 0;

t.test("a child dies with its parent, however that one dies", async (t) => {
  const dir = temporaryState(t);
  const infra = new URL("../src/index.ts", import.meta.url).href;
  const program = `
    const { spawnChild, startRedis } = await import(${JSON.stringify(infra)});
    await spawnChild({ name: "x", command: "sleep", args: ["1000"], cwd: ${JSON.stringify(dir)}, logPath: "${dir}/log" });
    await startRedis({ dir: "${dir}/redis" });
    process.stdout.write("up\\n");
    setInterval(() => {}, 1000);`;
  const parent = spawn(process.execPath, ["--input-type=module", "-e", program], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  await once(parent.stdout, "data");
  t.equal(processesIn(dir).filter(({ pid }) => pid !== parent.pid).length, 2);
  parent.kill("SIGKILL");
  await once(parent, "exit");
  await waitUntil(() => none(dir), { what: "the end of all children", timeoutMsMax: 10_000 });
});

t.test("a polite stop turns into a kill for a child that does not listen", async (t) => {
  const dir = temporaryState(t);
  const deaf = await spawnChild({
    ...sleeper(dir),
    command: "sh",
    args: ["-c", "trap '' TERM; exec sleep 1000"],
    graceMsMax: 200,
  });
  await sleep(100);
  t.equal((await deaf.stop()).signal, "SIGKILL");
  const frozen = await spawnChild(sleeper(dir));
  frozen.kill("SIGSTOP");
  t.equal((await frozen.stop()).signal, "SIGTERM", "a stopped process is woken to hear it");
});

t.test("what cannot be started is said", async (t) => {
  const dir = temporaryState(t);
  const child = await spawnChild({ ...sleeper(dir), command: "no-such-program", args: [] });
  t.not((await child.exited).code, 0);
  t.match(readFileSync(join(dir, "log"), "utf8"), /no-such-program/);
});

t.test("the supervisor brings back what dies, and stops for good", async (t) => {
  const dir = temporaryState(t);
  const seen: (number | null)[] = [];
  const noticed: string[] = [];
  const supervisor = new Supervisor({
    changed: (_name, pid) => void seen.push(pid),
    noticed: (text) => void noticed.push(text),
  });
  await supervisor.start({ name: "a", start: () => spawnChild(sleeper(dir)) });
  const first = supervisor.pidOf("a")!;
  process.kill(first, "SIGKILL");
  await waitUntil(async () => seen.length === 3, { what: "the restart", timeoutMsMax: 10_000 });
  t.same(seen.slice(0, 2), [first, null]);
  t.equal(seen[2], supervisor.pidOf("a"));
  t.match(noticed, [/a ended \(SIGKILL\)/]);
  await supervisor.stop();
  t.same(processesIn(dir), []);
  t.equal(supervisor.pidOf("a"), null);
});

t.test("a first start that fails is the caller's; a later one is tried again", async (t) => {
  const dir = temporaryState(t);
  const supervisor = new Supervisor({ changed: () => undefined, noticed: () => undefined });
  await t.rejects(
    supervisor.start({ name: "a", start: () => Promise.reject(new Error("no luck")) }),
    /no luck/,
  );
  let starts = 0;
  const start = async () => {
    starts += 1;
    if (starts === 2 || starts === 3) throw new Error("not now");
    return spawnChild(sleeper(dir));
  };
  await supervisor.start({ name: "a", start });
  process.kill(supervisor.pidOf("a")!, "SIGKILL");
  await waitUntil(async () => starts === 4, { what: "the fourth start", timeoutMsMax: 10_000 });
  await supervisor.stop();
  t.same(processesIn(dir), []);
});

t.test("a stop during a start leaves nothing", async (t) => {
  const dir = temporaryState(t);
  const supervisor = new Supervisor({ changed: () => undefined, noticed: () => undefined });
  const start = async () => {
    await sleep(200);
    return spawnChild(sleeper(dir));
  };
  const starting = supervisor.start({ name: "slow", start });
  await supervisor.stop();
  await starting;
  t.same(processesIn(dir), []);
});

t.test("backoff doubles up to its bound", async (t) => {
  t.same([1, 2, 3, 4, 7, 100].map(backoffMs), [100, 200, 400, 800, 5000, 5000]);
});

t.test("a port is ours alone, also before anybody listens on it", async (t) => {
  const port = await freePort();
  const infra = new URL("../src/index.ts", import.meta.url).href;
  const program = `const { reserve } = await import(${JSON.stringify(infra)}); process.stdout.write(String(await reserve(${port})));`;
  const other = spawn(process.execPath, ["--input-type=module", "-e", program], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [answer] = (await once(other.stdout, "data")) as [Buffer];
  t.equal(answer.toString(), "false");
  const server = createServer().listen(port, "127.0.0.1");
  await once(server, "listening");
  t.not(await freePort(port), port, "another one is given when the wanted one is in use");
  server.close();
  t.equal(await reserve(port), true);
  const several = await Promise.all(Array.from({ length: 50 }, () => freePort()));
  t.equal(new Set(several).size, 50);
});

t.test("one lock a directory, whatever it is called", async (t) => {
  const dir = temporaryState(t);
  const lock = await lockDirectory(dir);
  t.ok(lock);
  t.equal(await lockDirectory(`${dir}/.`), null);
  await lock!.release();
  const again = await lockDirectory(dir);
  t.ok(again);
  await again!.release();
});

t.test("a port is given once, though nobody listens on it yet", async (t) => {
  const ports: number[] = [];
  for (let n = 0; n < 2_000; n += 1) ports.push(await freePort());
  t.equal(new Set(ports).size, ports.length);
});
