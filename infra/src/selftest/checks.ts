/** `hongbao selftest --check`: what can be said about the code without running it. */
import { spawn } from "node:child_process";
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { print } from "@hongbao/preprocess";
import { hygieneOffences } from "./hygiene.ts";
import { ROOT } from "./tests.ts";

interface Check {
  name: string;
  /** What is wrong, or an empty text. */
  run: () => Promise<string>;
}

const bin = (name: string) => join(ROOT, "node_modules", ".bin", name);

/** A tool of ours, run by this Node. */
const tool = (name: string, script: string, ...args: string[]): Check => ({
  name,
  run: () => outputOnFailure(process.execPath, [bin(script), ...args]),
});

const CHECKS: Check[] = [
  tool("types (tsc)", "tsc", "--noEmit"),
  tool("lint (eslint)", "eslint", "."),
  tool("format (prettier)", "prettier", "--check", "--log-level=warn", "."),
  { name: "shell syntax", run: shellSyntax },
  {
    name: "hygiene (cycles, dependencies, console output)",
    run: async () => hygieneOffences(ROOT).join("\n"),
  },
];

/** Runs all checks; prints `N passed, N failed` last and returns whether all passed. */
export async function runChecks(): Promise<boolean> {
  let failed = 0;
  for (const { name, run } of CHECKS) {
    const startedAt = performance.now();
    const wrong = await run();
    const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
    if (wrong !== "") {
      failed += 1;
      print(wrong);
    }
    print(`${wrong === "" ? "ok    " : "FAILED"} ${name} (${seconds} s)`);
  }
  print(`${CHECKS.length - failed} passed, ${failed} failed`);
  return failed === 0;
}

/** Every shell script is parsed by the shell that its first line names. */
async function shellSyntax(): Promise<string> {
  const scripts = ["hongbao", ".ci/run", ...globSync("*/{src,test}/**/*.sh", { cwd: ROOT })];
  const wrong = await Promise.all(
    scripts.map((path) => {
      const shell = /^#!.*\bbash\b/.test(readFileSync(join(ROOT, path), "utf8")) ? "bash" : "sh";
      return outputOnFailure(shell, ["-n", join(ROOT, path)]);
    }),
  );
  return wrong.filter((text) => text !== "").join("\n");
}

function outputOnFailure(command: string, args: string[]): Promise<string> {
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd: ROOT, stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (chunk: string) => (output += chunk));
    }
    child.once("error", (error) => resolve(error.message));
    child.once("close", (code) =>
      resolve(code === 0 ? "" : output.trim() || `${command} ended with code ${code}`),
    );
  });
}
