import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { join } from "node:path";
import { readClusterFile } from "@hongbao/preprocess";
import t from "tap";
import { processesIn, startTestCluster, temporaryState, tryHongbao, waitUntil } from "@hongbao/infra";

const lastLine = (text: string) => text.trim().split("\n").at(-1)!;
const none = async (dir: string) => processesIn(dir).length === 0;

// Whole clusters on a machine that may be busy.
t.setTimeout(300_000);

t.test("a cluster comes up, goes on where it was, and goes down", async (t) => {
  const cluster = await startTestCluster(t, { opensIn: 3600 });
  const { state, url } = cluster;
  const first = cluster.now();
  t.same(Object.keys(first.processes.services).sort(), ["b0/s0", "b0/s1", "b1/s0", "b1/s1"]);
  t.equal(new URL(url).hostname, "127.0.0.1");
  for (const name of ["token", "receipt", "operator", "spop", "redis", "mysql"]) {
    const path = join(state, "secrets", name);
    t.match(readFileSync(path, "utf8"), /^[0-9a-f]{64}\n$/);
    t.equal(statSync(path).mode & 0o777, 0o600);
  }
  const { rounds } = (await (await fetch(`${url}/rounds.json`)).json()) as { rounds: { state: string }[] };
  t.match(rounds, [{ id: 1, state: "scheduled" }]);

  const second = await tryHongbao(["up", "--state", state]);
  t.equal(second.code, 3);
  t.match(lastLine(second.stderr), /^hongbao: a cluster is running in .* already \(pid \d+, ready/);

  process.kill(first.processes.services["b0/s0"]!, "SIGKILL");
  await waitUntil(
    async () =>
      (cluster.now().processes.services["b0/s0"] ?? first.pid) !== first.processes.services["b0/s0"],
    {
      what: "the restart of a killed service",
      timeoutMsMax: 20_000,
    },
  );

  const token = readFileSync(join(state, "secrets", "token"), "utf8");
  t.equal((await cluster.down()).code, 0);
  t.same(processesIn(state), []);
  t.equal(readClusterFile(state), null);
  t.notOk(existsSync(join(state, "cluster.json")));
  const again = await cluster.down();
  t.equal(again.code, 0, "down is fine when nothing runs");
  t.match(again.stderr, /Nothing is running/);

  const detached = await tryHongbao(["up", "--detach", "--state", state]);
  t.equal(detached.code, 0, detached.stderr);
  t.match(detached.stdout, `${url}/#t=`, "the same port, with links");
  t.equal(readFileSync(join(state, "secrets", "token"), "utf8"), token);
  const running = readClusterFile(state)!;
  process.kill(running.pid, "SIGKILL");
  await waitUntil(() => none(state), {
    what: "the end of all processes of a killed cluster",
    timeoutMsMax: 10_000,
  });
  t.equal(readClusterFile(state), null);
});

t.test("a start that fails leaves nothing running, and its last line is the error", async (t) => {
  const state = temporaryState(t);
  const taken = createServer().listen(0, "127.0.0.1");
  await once(taken, "listening");
  const { port } = taken.address() as AddressInfo;
  for (const how of [[], ["--detach"]]) {
    const { code, stderr, stdout } = await tryHongbao([
      "up",
      "--state",
      state,
      "--port",
      String(port),
      ...how,
    ]);
    t.equal(code, 3);
    t.equal(lastLine(stderr), `hongbao: --port: port ${port} on 127.0.0.1 is in use`);
    t.equal(stdout, "");
  }
  taken.close();
  t.same(processesIn(state), []);
  t.equal(readClusterFile(state), null);
});

t.test("a start that is interrupted leaves nothing running", async (t) => {
  const state = temporaryState(t);
  const up = spawn(process.execPath, ["hongbao.ts", "up", "--state", state], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  await waitUntil(async () => existsSync(join(state, "cluster.json")), {
    what: "cluster.json",
    timeoutMsMax: 20_000,
  });
  up.kill("SIGTERM");
  let stderr = "";
  up.stderr.on("data", (chunk: Buffer) => (stderr += chunk.toString()));
  const [code] = (await once(up, "close")) as [number];
  t.equal(code, 3);
  t.match(lastLine(stderr), /stopped before it was ready/);
  t.same(processesIn(state), []);
});

t.test("wrong input is refused before anything is written", async (t) => {
  const dir = temporaryState(t);
  const state = join(dir, "state");
  const event = join(dir, "event.yaml");
  writeFileSync(event, "event: NOT_AN_ID\n");
  const refused = async (args: string[], message: RegExp, code = 2) => {
    const outcome = await tryHongbao(["up", "--state", state, ...args]);
    t.equal(outcome.code, code);
    t.match(lastLine(outcome.stderr), message);
    t.notOk(existsSync(state));
  };
  await refused(["--event", event], /event\.yaml/);
  await refused(["--detach", "--event", event], /event\.yaml/);
  await refused(["--event", join(dir, "none.yaml")], /none\.yaml/, 3);
  await refused(["--buckets", "0"], /--buckets: found "0", expected a whole number from 1 to 64/);
  await refused(["--port", "http"], /--port/);
  await refused(["--replay", "--detach"], /--replay/);
});

t.test("somebody else's directory is not taken for a state", async (t) => {
  const state = temporaryState(t);
  mkdirSync(join(state, "redis"));
  writeFileSync(join(state, "redis", "dump"), "precious");
  const { code, stderr } = await tryHongbao(["up", "--state", state, "--fresh"]);
  t.equal(code, 2);
  t.match(lastLine(stderr), /found redis in .* that "up" did not make/);
  t.ok(existsSync(join(state, "redis", "dump")));
});
