import type { Connection } from "mysql2/promise";
import { rebuildBucket, type RebuildParts, type RebuildReport, type RebuildStep } from "./rebuild.ts";

/** A rebuild in this process, as the admin port tells it. */
export type RebuildJob =
  | { state: "idle" }
  | { state: "running"; at: RebuildStep }
  | { state: "done"; report: RebuildReport }
  | { state: "failed"; error: string };

/** Runs one rebuild at a time in this process; who ordered it asks how far it is. */
export class RebuildDesk {
  readonly #parts: Omit<RebuildParts, "mysql" | "maybeOpened" | "force" | "onStep">;
  readonly #connect: () => Promise<Connection>;
  readonly #onStep: (step: RebuildStep["step"]) => void;
  #job: RebuildJob = { state: "idle" };

  constructor(
    parts: Omit<RebuildParts, "mysql" | "maybeOpened" | "force" | "onStep">,
    connect: () => Promise<Connection>,
    onStep: (step: RebuildStep["step"]) => void,
  ) {
    this.#parts = parts;
    this.#connect = connect;
    this.#onStep = onStep;
  }

  get job(): RebuildJob {
    return this.#job;
  }

  get parts(): Omit<RebuildParts, "mysql" | "maybeOpened" | "force" | "onStep"> {
    return this.#parts;
  }

  /** A connection for as long as `work` runs. */
  async withMysql<T>(work: (mysql: Connection) => Promise<T>): Promise<T> {
    const mysql = await this.#connect();
    try {
      return await work(mysql);
    } finally {
      await mysql.end().catch(() => undefined);
    }
  }

  /** Begins, unless one is running. */
  start(order: { maybeOpened: readonly number[]; force: boolean }): RebuildJob {
    if (this.#job.state === "running") return this.#job;
    this.#job = { state: "running", at: { step: "fencing" } };
    void this.#run(order);
    return this.#job;
  }

  async #run(order: { maybeOpened: readonly number[]; force: boolean }): Promise<void> {
    let last = "";
    const onStep = (at: RebuildStep): void => {
      this.#job = { state: "running", at };
      if (at.step !== last) this.#onStep((last = at.step));
    };
    try {
      const report = await this.withMysql((mysql) =>
        rebuildBucket({ ...this.#parts, ...order, mysql, onStep }),
      );
      this.#job = { state: "done", report };
    } catch (error) {
      this.#job = { state: "failed", error: error instanceof Error ? error.message : String(error) };
    }
  }
}
