import { spawn } from "node:child_process";
import { readdirSync, statSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import t from "tap";
import {
  BadInput,
  findTopology,
  processStart,
  readClusterFile,
  stateDir,
  Unreachable,
  writeClusterFile,
} from "../src/index.ts";
import type { ClusterFile } from "../src/index.ts";
import { temporaryDir } from "./fixtures.ts";

const CLUSTER: ClusterFile = {
  pid: process.pid,
  startedAt: "2027-02-05T12:00:00.000Z",
  state: "ready",
  topology: "/event/topology.yaml",
  url: "http://127.0.0.1:8080",
  processes: {
    controllers: { c0: 11 },
    balancer: 12,
    services: { "b0/s0": 13 },
    persist: {},
    payout: {},
    redis: { b0: { pid: 14, url: "redis://127.0.0.1:6400" } },
    mysql: {},
  },
};

t.beforeEach(() => {
  delete process.env.HONGBAO_STATE;
  delete process.env.HONGBAO_TOPOLOGY;
});

t.test("the state directory is the option, then the environment, then beside the script", async (t) => {
  t.equal(stateDir(), resolve(import.meta.dirname, "../../.hongbao"));
  process.env.HONGBAO_STATE = "/from/environment";
  t.equal(stateDir(), "/from/environment");
  t.equal(stateDir("/from/option"), "/from/option");
  t.equal(stateDir("relative"), resolve("relative"));
});

t.test("the file of a living cluster is read back", async (t) => {
  const dir = join(temporaryDir(t), "state");
  t.equal(readClusterFile(dir), null);
  writeClusterFile(dir, CLUSTER);
  t.match(readClusterFile(dir), CLUSTER);
  t.equal(statSync(join(dir, "cluster.json")).mode & 0o777, 0o600);
  writeClusterFile(dir, { ...CLUSTER, state: "stopping" });
  t.equal(readClusterFile(dir)?.state, "stopping");
  t.same(readdirSync(dir), ["cluster.json"], "no draft is left");
});

t.test("the file of a dead process, or of a reused pid, counts for nothing", async (t) => {
  const dir = temporaryDir(t);
  const child = spawn(process.execPath, ["-e", "setTimeout(() => {}, 60_000)"], { stdio: "ignore" });
  writeClusterFile(dir, { ...CLUSTER, pid: child.pid! });
  t.equal(readClusterFile(dir)?.pid, child.pid);
  const ended = new Promise((done) => child.once("exit", done));
  child.kill("SIGKILL");
  await ended;
  t.equal(readClusterFile(dir), null);
  writeFileSync(join(dir, "cluster.json"), JSON.stringify({ ...CLUSTER, pidStart: "1" }));
  t.equal(readClusterFile(dir), null, "our pid, but started at another time");
  t.equal(processStart(2 ** 30), null);
});

t.test("a damaged file is named", async (t) => {
  const dir = temporaryDir(t);
  for (const content of ["", "{", "[]", '{"pid":"1"}', "null"]) {
    writeFileSync(join(dir, "cluster.json"), content);
    t.throws(() => readClusterFile(dir), BadInput);
  }
});

t.test("the topology is the option, then the environment, then the running cluster's", async (t) => {
  const dir = temporaryDir(t);
  t.throws(() => findTopology(undefined, dir), Unreachable);
  t.throws(() => findTopology(undefined, dir), { message: new RegExp(`no cluster is running in ${dir}`) });
  writeClusterFile(dir, CLUSTER);
  t.equal(findTopology(undefined, dir), "/event/topology.yaml");
  process.env.HONGBAO_TOPOLOGY = "/env/topology.yaml";
  t.equal(findTopology(undefined, dir), "/env/topology.yaml");
  t.equal(findTopology("/option/topology.yaml", dir), "/option/topology.yaml");
});
