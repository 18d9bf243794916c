/**
 * One process's switches: pushed by the conductor, kept in a small file of its own beside the topology. A process that
 * starts while Redis, MySQL and all controllers are away obeys what its file says; a file of another event counts for nothing.
 */
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Router } from "@koa/router";
import { errorCode, switchSetSchema, type LiveSwitches, type SwitchSet } from "@hongbao/preprocess";
import { z } from "zod";
import { AdminError, readJson } from "../admin/server.ts";

const fileSchema = z.object({ event: z.string(), pack: z.string(), set: switchSetSchema });

export interface SwitchKeeperParts {
  live: LiveSwitches;
  /** Of this process alone. */
  path: string;
  event: string;
  packDigest: string;
  /** The file cannot be read or written: the process goes on with what it is told. Told once for each cause. */
  onTrouble: (error: unknown) => void;
}

/** Where a process keeps its copy. */
export function switchesPath(topologyPath: string, bucket: string, id: string): string {
  return join(dirname(topologyPath), "switches", bucket, `${id}.json`);
}

export class SwitchKeeper {
  readonly #parts: SwitchKeeperParts;
  #troubles = new Set<string>();

  /** Reads the file. Never throws for what it finds there. */
  constructor(parts: SwitchKeeperParts) {
    this.#parts = parts;
    const { live, path, event, packDigest } = parts;
    try {
      const file = fileSchema.parse(JSON.parse(readFileSync(path, "utf8")));
      if (file.event === event && file.pack === packDigest) live.take(file.set);
    } catch (error) {
      if (errorCode(error) !== "ENOENT") this.#trouble(error);
    }
  }

  /** Memory first: a full disk must not keep a switch from counting now. */
  push(set: SwitchSet): { applied: boolean; written: boolean } {
    const applied = this.#parts.live.take(set);
    return { applied, written: applied ? this.#write(set) : true };
  }

  /** GET and PUT /admin/switches. */
  routes(): (router: Router) => void {
    const { live } = this.#parts;
    return (router) => {
      router.get("/switches", (context) => {
        context.body = { ...live.set, values: live.current };
      });
      router.put("/switches", async (context) => {
        const set = switchSetSchema.safeParse(await readJson(context));
        if (!set.success) throw new AdminError(400, z.prettifyError(set.error));
        const { written } = this.push(set.data);
        context.status = set.data.v < live.set.v ? 409 : 200;
        context.body = { v: live.set.v, written };
      });
    };
  }

  /** In one step: whoever starts reads the old file or the new one, never a half. */
  #write(set: SwitchSet): boolean {
    const { path, event, packDigest } = this.#parts;
    const draft = `${path}.${process.pid}.tmp`;
    try {
      mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
      writeFileSync(draft, `${JSON.stringify({ event, pack: packDigest, set })}\n`, { mode: 0o600 });
      renameSync(draft, path);
      return true;
    } catch (error) {
      this.#trouble(error);
      return false;
    }
  }

  #trouble(error: unknown): void {
    const cause = errorCode(error) || String(error);
    if (this.#troubles.has(cause)) return;
    this.#troubles.add(cause);
    this.#parts.onTrouble(error);
  }
}
