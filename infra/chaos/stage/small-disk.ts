/** A small disk of its own (tmpfs) under one directory, so that it can be full while the machine's is not. */
import { execFileSync } from "node:child_process";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const SIZE_MIB = 64;
const PIECE_BYTES = 1 << 20;

export class SmallDisk {
  readonly #dir: string;
  readonly #unmount = (): void => {
    try {
      execFileSync("umount", ["-l", this.#dir], { stdio: "ignore" });
    } catch {
      // It is not mounted any more.
    }
  };

  private constructor(dir: string) {
    this.#dir = dir;
    // However we end, short of kill -9, it does not stay.
    process.once("exit", this.#unmount);
  }

  /** Null when we may not mount one: that takes root. */
  static mount(dir: string): SmallDisk | null {
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    try {
      execFileSync("mount", ["-t", "tmpfs", "-o", `size=${SIZE_MIB}m,mode=700`, "tmpfs", dir], {
        stdio: "ignore",
      });
    } catch {
      return null;
    }
    return new SmallDisk(dir);
  }

  /** Writes until not a byte goes any more. */
  fill(): void {
    const ballast = join(this.#dir, "ballast");
    mkdirSync(ballast, { recursive: true });
    for (let bytes = PIECE_BYTES, at = 0; bytes >= 1; at += 1) {
      try {
        writeFileSync(join(ballast, String(at)), Buffer.alloc(bytes));
      } catch {
        bytes >>= 1;
      }
    }
  }

  empty(): void {
    rmSync(join(this.#dir, "ballast"), { recursive: true, force: true });
  }

  unmount(): void {
    process.off("exit", this.#unmount);
    this.#unmount();
  }
}
