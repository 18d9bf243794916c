/** A clock that can be made wrong while a process runs: Debian's libfaketime, which reads the shift from a file. */
import { globSync, writeFileSync } from "node:fs";
import { Unreachable } from "@hongbao/preprocess";

const LIBRARY = "/usr/lib/*/faketime/libfaketimeMT.so.1";

export class FalseClock {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
    this.set(0);
  }

  /** What a process needs in its environment. Only what tells the time of day is wrong: timers go on as they were. */
  env(): Record<string, string> {
    const library = globSync(LIBRARY)[0];
    if (library === undefined) throw new Unreachable(`faketime is not installed (${LIBRARY})`);
    return {
      LD_PRELOAD: library,
      FAKETIME_TIMESTAMP_FILE: this.#path,
      FAKETIME_CACHE_DURATION: "1",
      FAKETIME_DONT_FAKE_MONOTONIC: "1",
      DONT_FAKE_MONOTONIC: "1",
      NO_FAKE_STAT: "1",
    };
  }

  set(seconds: number): void {
    writeFileSync(this.#path, `${seconds < 0 ? "" : "+"}${seconds}\n`);
  }
}
