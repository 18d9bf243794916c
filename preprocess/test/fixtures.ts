/** What the tests of this folder share: temporary directories, an event, a topology, a way to run a command. */
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Test } from "tap";
import type { Generated, GenerateOptions } from "../src/index.ts";
import { generatePack, readEvent, readGreetings, readTopology, readUsers } from "../src/index.ts";

export const SEED = "5eed".repeat(16);

/** A directory that is gone when the test ends. */
export function temporaryDir(t: Test): string {
  const dir = mkdtempSync(join(tmpdir(), "hongbao-preprocess-"));
  t.teardown(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

export interface RoundFields {
  [field: string]: string;
}

const ROUND: RoundFields = {
  id: "1",
  kind: "envelope",
  opensAt: "now+30s",
  closesAt: "now+10m",
  count: "10",
  budget: "100.00",
  split: "{ method: lucky, min: 0.01, max: 50.00 }",
};

/** The text of an event; fields are YAML, an empty text leaves a field out. */
export function eventText(rounds: RoundFields[] = [{}], fields: RoundFields = {}): string {
  const all: RoundFields = {
    event: "party",
    title: "{ zh: 新春红包, en: Party }",
    currency: "CNY",
    timezone: "Asia/Shanghai",
    budget: "1000000.00",
    users: "users.csv",
    greetings: "greetings.txt",
    ...fields,
  };
  const lines = Object.entries(all).flatMap(([name, value]) => (value ? [`${name}: ${value}`] : []));
  lines.push("rounds:");
  for (const round of rounds) {
    const entries = Object.entries({ ...ROUND, ...round }).filter(([, value]) => value !== "");
    entries.forEach(([name, value], index) => lines.push(`  ${index === 0 ? "-" : " "} ${name}: ${value}`));
  }
  return `${lines.join("\n")}\n`;
}

/** The fields of a round of items. */
export const ITEM: RoundFields = {
  id: "3",
  kind: "item",
  item: "{ sku: PHONE-1, title: { zh: 手机, en: Phone }, price: 1.00 }",
  budget: "",
  split: "",
};

/** Users u1, u2, … of which every third is family. */
export function usersText(count: number): string {
  const lines = ["id,name,group"];
  for (let i = 1; i <= count; i++) lines.push(`u${i},"张, ${i}",${i % 3 === 0 ? "family" : "staff"}`);
  return `${lines.join("\n")}\n`;
}

export interface EventFiles {
  event?: string;
  users?: string;
  greetings?: string;
}

/** Writes event.yaml, users.csv and greetings.txt; returns the event's path. */
export function writeEvent(dir: string, { event, users, greetings }: EventFiles = {}): string {
  mkdirSync(dir, { recursive: true });
  writeFileSync(join(dir, "users.csv"), users ?? usersText(200));
  writeFileSync(join(dir, "greetings.txt"), greetings ?? "恭喜发财\nHappy New Year\n");
  writeFileSync(join(dir, "event.yaml"), event ?? eventText());
  return join(dir, "event.yaml");
}

/** The parts of a topology as YAML, to be replaced one by one. */
export const TOPOLOGY = {
  slots: "1024",
  pack: "pack",
  control: "control",
  balancer:
    '{ listen: "127.0.0.1:8080", url: "http://127.0.0.1:8080", admin: "127.0.0.1:8081", site: "http://127.0.0.1:8082" }',
  controllers: '[{ id: c0, admin: "127.0.0.1:8083" }, { id: c1, admin: "127.0.0.1:8084" }]',
  secrets:
    "{ token: { file: secrets/token }, receipt: { file: secrets/receipt }, operator: { file: secrets/operator }, " +
    "spop: { env: HONGBAO_TEST_SPOP }, redis: { file: secrets/redis }, mysql: { file: secrets/mysql } }",
};

/** One bucket as YAML. */
export function bucketText(number: number, slots: string, fields: RoundFields = {}): string {
  const port = 9000 + number * 10;
  const all: RoundFields = {
    id: `b${number}`,
    slots,
    redis: `{ url: "redis://127.0.0.1:${6400 + number}" }`,
    mysql: `{ url: "mysql://hongbao@127.0.0.1:${3300 + number}" }`,
    services: `[{ id: s0, http: "127.0.0.1:${port}", spop: "127.0.0.1:${port + 1}", admin: "127.0.0.1:${port + 2}" }]`,
    persist: `[{ id: p0, admin: "127.0.0.1:${port + 3}" }]`,
    ...fields,
  };
  return Object.entries(all)
    .filter(([, value]) => value !== "")
    .map(([name, value], index) => `${index === 0 ? "  -" : "   "} ${name}: ${value}`)
    .join("\n");
}

export const TWO_BUCKETS = [bucketText(0, "[[0, 511]]"), bucketText(1, "[[512, 1023]]")];

/** Writes topology.yaml; returns its path. */
export function writeTopology(
  dir: string,
  parts: Partial<typeof TOPOLOGY> = {},
  buckets = TWO_BUCKETS,
): string {
  const all = { ...TOPOLOGY, ...parts };
  const lines = Object.entries(all).flatMap(([name, value]) => (value ? [`${name}: ${value}`] : []));
  const path = join(dir, "topology.yaml");
  writeFileSync(path, `${lines.join("\n")}\nbuckets:\n${buckets.join("\n")}\n`);
  return path;
}

/** Six different secrets for the topology above, four of them in files. */
export function writeSecrets(dir: string): void {
  mkdirSync(join(dir, "secrets"), { recursive: true });
  for (const name of ["token", "receipt", "operator", "redis", "mysql"]) {
    writeFileSync(join(dir, "secrets", name), `${name}-`.padEnd(32, "0") + "\n", { mode: 0o600 });
  }
  process.env.HONGBAO_TEST_SPOP = "spop-".padEnd(32, "0");
}

/** Generates a pack from the files in a directory. */
export async function makePack(dir: string, options: Partial<GenerateOptions> = {}): Promise<Generated> {
  const event = readEvent(join(dir, "event.yaml"));
  return generatePack({
    event,
    users: await readUsers(event.usersPath),
    greetings: readGreetings(event.greetingsPath),
    topology: readTopology(join(dir, "topology.yaml")),
    seedHex: SEED,
    out: join(dir, "pack"),
    ...options,
  });
}

export interface Outcome {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** Runs a command of this folder in a process of its own. */
export async function runCommand(args: string[], env: NodeJS.ProcessEnv = {}): Promise<Outcome> {
  const child = spawn(process.execPath, [join(import.meta.dirname, "command-line.ts"), ...args], {
    // Without NODE_OPTIONS the test runner's loaders stay out of the child.
    env: { ...process.env, NODE_OPTIONS: "", HONGBAO_TOPOLOGY: "", HONGBAO_STATE: "", ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  return new Promise((resolve) => {
    child.on("close", (code) => resolve({ code, stdout, stderr }));
  });
}
