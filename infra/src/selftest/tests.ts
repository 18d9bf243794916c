/** `hongbao selftest`: installs what the tests need and runs them. */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { print, say } from "@hongbao/preprocess";
import { ensurePackages } from "../install/packages.ts";
import { MONITORING_PACKAGES } from "../monitoring/units.ts";
import { dieWithParent } from "../processes/child.ts";
import { serverPath } from "../servers/binaries.ts";
import { TapReader } from "./tap-reader.ts";

export const ROOT = join(import.meta.dirname, "..", "..", "..");
const TAP = join(ROOT, "node_modules", ".bin", "tap");

/** Runs these test files, or all; prints `N passed, N failed` last and returns whether all passed. */
export async function runTests(files: string[]): Promise<boolean> {
  await ensurePackages(["redis-server", "mariadb-server", "haproxy", "wrk", ...MONITORING_PACKAGES]);
  // Where there is no such package (on Ubuntu it is a snap) the tests of the page say that they were skipped.
  await ensurePackages(["chromium"]).catch((error: Error) =>
    say(`${error.message}; tests of the page are skipped`),
  );
  // Without a Chinese font the pictures of the page show boxes; the tests do not mind.
  await ensurePackages(["fonts-wqy-microhei"]).catch(() => undefined);
  if (!existsSync(join(ROOT, ".tap", "plugins"))) await run(TAP, ["build"]);
  const startedAt = performance.now();
  const reader = new TapReader(print);
  const code = await run(TAP, ["--reporter=tap", ...files], (chunk) => reader.take(chunk));
  const sum = reader.end();
  if (code !== 0 && sum.failed === 0) sum.failed = 1;
  for (const name of sum.skipped) print(`skipped: ${name}`);
  print(`# ${((performance.now() - startedAt) / 1000).toFixed(0)} s`);
  print(`${sum.passed} passed, ${sum.failed} failed`);
  return sum.failed === 0;
}

/** Runs tap with this Node, apart from any cluster that the environment points to. */
async function run(command: string, args: string[], onOutput?: (chunk: string) => void): Promise<number> {
  const env: NodeJS.ProcessEnv = { ...process.env, PATH: serverPath() };
  for (const name of ["HONGBAO_STATE", "HONGBAO_TOPOLOGY"]) delete env[name];
  const wrapped = dieWithParent(process.execPath, [command, ...args]);
  const child = spawn(wrapped.command, wrapped.args, {
    cwd: ROOT,
    env,
    stdio: ["ignore", "pipe", "inherit"],
  });
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => onOutput?.(chunk));
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => resolve(code ?? 1));
  });
}
