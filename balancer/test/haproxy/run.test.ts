/** `balancer run` as a process, with controllers that a test plays. */
import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { join } from "node:path";
import t from "tap";
import type { Test } from "tap";
import { signToken } from "@hongbao/preprocess";
import { closeServer, listenOn } from "../../src/listen.ts";
import { eventually, hongbao, layOutCluster, operatorAsks, TOKEN_SECRET, type Cluster } from "../cluster.ts";
import { ask, inAnHour } from "./harness.ts";

const grab = (cluster: Cluster, round: number, headers: Record<string, string> = {}) =>
  ask(cluster.port, `/v1/rounds/${round}/grab?k=x`, { method: "POST", headers }).catch(() => null);

/** What round 1's grab says without a token: `unauthorized` while it lives, `ended` once it is over. */
const says = async (cluster: Cluster): Promise<string | undefined> => (await grab(cluster, 1))?.json?.result;

interface Controller {
  news: unknown;
  server: Server;
  stop(): Promise<void>;
}

async function playController(t: Test, admin: string): Promise<Controller> {
  const controller: Controller = {
    news: null,
    server: createServer((_request, response) => {
      response.writeHead(controller.news === null ? 503 : 200).end(JSON.stringify(controller.news));
    }),
    stop: () => closeServer(controller.server),
  };
  await listenOn(controller.server, admin);
  t.teardown(() => controller.stop());
  return controller;
}

const newsOf = (over: boolean, b0: number, b1: number, epoch = "1") => ({
  event: "test",
  epoch,
  rounds: [1, 2].map((id) => ({ id, known: true, over: over && id === 1, stocks: { b0, b1 } })),
});

async function run(t: Test, cluster: Cluster): Promise<ChildProcess> {
  const words = ["balancer", "run", "--threads", "1", "--topology", cluster.topology];
  const child = fork(join(import.meta.dirname, "..", "..", "..", "hongbao.ts"), words, {
    execArgv: ["--disable-warning=ExperimentalWarning"],
    silent: true,
  });
  t.teardown(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, "exit");
    child.kill("SIGKILL");
    await exited;
  });
  await eventually(async () => (await grab(cluster, 1)) !== null);
  return child;
}

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
};

const state = async (cluster: Cluster) =>
  (await operatorAsks(cluster.balancerAdmin, "/admin/state")).json as {
    pid: number;
    state: string;
    heardMsAgo: number | null;
  };

t.test("what the controllers say reaches HAProxy, and outlives them and HAProxy", async (t) => {
  const cluster = await layOutCluster(t);
  const controller = await playController(t, cluster.controllers[0]!.admin);
  controller.news = newsOf(false, 1, 1);
  const child = await run(t, cluster);
  t.match(await grab(cluster, 1), { status: 401 });
  t.match(await grab(cluster, 3), { status: 404, json: { result: "no_such_round" } });
  const { pid } = await state(cluster);
  t.match(readFileSync(`/proc/${pid}/cmdline`, "utf8"), /haproxy/);

  controller.news = newsOf(true, 1, 1);
  await eventually(async () => (await says(cluster)) === "ended");
  controller.news = newsOf(false, 2, 1);
  await eventually(async () => (await says(cluster)) === "unauthorized");
  controller.news = newsOf(true, 1, 1);
  await new Promise((resolve) => setTimeout(resolve, 600));
  t.equal(await says(cluster), "unauthorized", "an older word does not end it again");
  controller.news = newsOf(true, 2, 1);
  await eventually(async () => (await says(cluster)) === "ended");

  await controller.stop();
  process.kill(pid, "SIGKILL");
  await eventually(async () => (await state(cluster)).pid !== pid && (await says(cluster)) !== undefined);
  t.equal(await says(cluster), "ended", "a new HAProxy, no controller: it still knows");

  const exited = once(child, "exit");
  child.kill("SIGTERM");
  t.same(await exited, [0, null]);
  await run(t, cluster);
  t.equal(await says(cluster), "ended", "a new `balancer run`, no controller: it still knows");
  t.match(await grab(cluster, 2), { status: 401 });
});

t.test(
  "its admin port: state, metrics of both, reload; and HAProxy's keys are nowhere to be read",
  async (t) => {
    const cluster = await layOutCluster(t);
    await run(t, cluster);
    await eventually(async () => (await fetch(`http://${cluster.balancerAdmin}/readyz`)).status === 200);
    t.equal((await fetch(`http://${cluster.balancerAdmin}/admin/state`)).status, 401);
    const metrics = await (await fetch(`http://${cluster.balancerAdmin}/metrics`)).text();
    t.match(metrics, /hongbao_balancer_reloads_total/);
    t.match(metrics, /haproxy_frontend_http_requests_total\{proxy="public"\}/);
    t.match(metrics, /haproxy_server_status\{proxy="bucket_b0",server="s0"/);

    const { pid } = await state(cluster);
    t.match(await operatorAsks(cluster.balancerAdmin, "/admin/reload", {}), { status: 200, json: { pid } });
    const dir = join(cluster.dir, "balancer");
    for (const path of [join(dir, "haproxy.cfg"), join(dir, "known.json"), `/proc/${pid}/cmdline`]) {
      let text = "";
      try {
        text = readFileSync(path, "utf8");
      } catch {
        // No word of a controller yet: nothing is kept.
      }
      t.notMatch(text, TOKEN_SECRET, path);
    }
    const headers = { authorization: `Bearer ${signToken("u1", TOKEN_SECRET, inAnHour())}` };
    t.match(
      await grab(cluster, 1, headers),
      { status: 503, json: { result: "busy" } },
      "the token is good; no service is there",
    );
  },
);

t.test("HAProxy ends with its keeper, even when that is killed", async (t) => {
  const cluster = await layOutCluster(t);
  const child = await run(t, cluster);
  const { pid } = await state(cluster);
  const exited = once(child, "exit");
  child.kill("SIGKILL");
  await exited;
  await eventually(() => !isAlive(pid));
  await eventually(async () => (await grab(cluster, 1)) === null);
  t.pass("nothing is left");
});

t.test("what is missing or wrong ends it with one line", async (t) => {
  const cluster = await layOutCluster(t);
  const at = ["--topology", cluster.topology];
  t.match(await hongbao(["balancer", "run", "--threads", "x", ...at]), {
    code: 2,
    stderr: /^hongbao: --threads: found "x"/,
  });
  t.match(await hongbao(["balancer", "run", "--drain", "600", ...at]), {
    code: 2,
    stderr: /^hongbao: --drain: found "600", expected 1 to 110 seconds/,
  });
  t.match(await hongbao(["balancer", "run", "--topology", join(cluster.dir, "none")]), { code: 3 });
  const server = createServer();
  await listenOn(server, cluster.balancerAdmin);
  t.teardown(() => closeServer(server));
  t.match(await hongbao(["balancer", "run", ...at]), {
    code: 3,
    stderr: /cannot listen on 127\.0\.0\.1:\d+: EADDRINUSE\n$/,
  });
});

t.test("render prints the configuration, or writes it with its maps", async (t) => {
  const cluster = await layOutCluster(t);
  const { code, stdout } = await hongbao([
    "balancer",
    "render",
    "--threads",
    "3",
    "--topology",
    cluster.topology,
  ]);
  t.equal(code, 0);
  t.match(stdout, "nbthread 3");
  t.match(stdout, "backend bucket_b1");
  const out = join(cluster.dir, "rendered");
  t.match(await hongbao(["balancer", "render", "--out", out, "--topology", cluster.topology]), {
    code: 0,
    stdout: "",
  });
  const live = [1, 2].flatMap((round) =>
    ["grab", "result"].map((call) => `/v1/rounds/${round}/${call} live\n`),
  );
  t.equal(readFileSync(join(out, "maps", "rounds.map"), "utf8"), live.join(""));
});
