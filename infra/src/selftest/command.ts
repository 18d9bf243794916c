import { BadInput } from "@hongbao/preprocess";
import { runChecks } from "./checks.ts";
import { runTests } from "./tests.ts";

/** The report's last line is the sum; the exit code says the rest. */
export async function runSelftest(files: string[], options: { check?: boolean }): Promise<void> {
  if (options.check && files.length > 0)
    throw new BadInput("--check: found test files too, expected one or the other");
  const ok = options.check ? await runChecks() : await runTests(files);
  if (!ok) process.exitCode = 1;
}
