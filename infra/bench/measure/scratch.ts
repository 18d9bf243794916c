/** A directory for everything that a bench writes; it goes with the bench, also when somebody presses Ctrl-C. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { say } from "@hongbao/preprocess";

export interface Scratch extends Disposable {
  path: string;
}

export function scratchDir(): Scratch {
  const path = mkdtempSync(join(tmpdir(), "hongbao-bench-"));
  const remove = (): void => rmSync(path, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  // Our children die with us; what they hold open is theirs no longer.
  const give = (signal: NodeJS.Signals): void => {
    say(`bench: given up (${signal})`);
    try {
      remove();
    } finally {
      process.exit(signal === "SIGINT" ? 130 : 143);
    }
  };
  process.once("SIGINT", give);
  process.once("SIGTERM", give);
  return {
    path,
    [Symbol.dispose]: () => {
      process.off("SIGINT", give);
      process.off("SIGTERM", give);
      remove();
    },
  };
}
