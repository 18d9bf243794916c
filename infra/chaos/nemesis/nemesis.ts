/** Breaks a cluster by a plan, and mends it again. Whatever it has begun and not ended, heal() ends. */
import { cpSync, existsSync, globSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Unreachable } from "@hongbao/preprocess";
import { errorLine } from "../../src/cluster/hongbao.ts";
import type { Crowd } from "../crowd/crowd.ts";
import type { History } from "../crowd/history.ts";
import { randomFrom, seedOf, type Random } from "../random.ts";
import type { RecordTrigger, Step } from "../scenario.ts";
import type { ChaosCluster } from "../stage/cluster.ts";
import type { Part } from "../stage/layout.ts";
import { signal, treeOf } from "../stage/tree.ts";
import { appendFiles, fullFiles, slowSyncs, strikeAtLink, type Injection } from "./disk.ts";
import { partsOfTarget } from "./targets.ts";

export interface NemesisParts {
  cluster: ChaosCluster;
  crowd: Crowd;
  history: History;
  /** The scenario's rounds, in their order. */
  rounds: readonly number[];
  seed: number;
  tell: (text: string) => void;
}

/** One thing that was done, for the report. */
export interface Deed {
  atMs: number;
  what: string;
}

interface Planned {
  step: Step;
  dueMs: number;
  targets: Part[];
}

/** A command is tried again: what was broken may not have been noticed yet, or not be back. */
const RUN_MS_MAX = 40_000;
const RUN_AGAIN_MS = 500;
const TRIGGER_MS_MAX = 30_000;
const TRIGGER_LOOK_MS = 2;
const STRUCK_MS_MAX = 20_000;
const LOOK_MS = 10;
const STRUCK_LOOKS = 10;

export class Nemesis {
  readonly deeds: Deed[] = [];
  /** What was planned and could not be done: a scenario that broke nothing has shown nothing. */
  readonly failures: string[] = [];
  /** What audits under load have found. */
  readonly audits: string[] = [];
  readonly #parts: NemesisParts;
  readonly #random: Random;
  readonly #stop = new AbortController();
  readonly #frozen = new Set<number>();
  readonly #injections = new Set<Injection>();

  constructor(parts: NemesisParts) {
    this.#parts = parts;
    this.#random = randomFrom(seedOf(parts.seed, "nemesis"));
  }

  /** Carries the steps out; resolves after the last one. `openedMs`: when the first round opens, as performance.now(). */
  async play(steps: readonly Step[], openedMs: number): Promise<void> {
    // Everything is drawn here, in the order of the steps: what happens meanwhile must not change the draw.
    const planned = steps.map((step): Planned => {
      const dueMs = openedMs + (step.at + (this.#random() * 2 - 1) * step.jitter) * 1000;
      const targets =
        "target" in step ? partsOfTarget(step.target, this.#parts.cluster.parts, this.#random) : [];
      return { step, dueMs, targets };
    });
    await Promise.all(planned.map((each) => this.#one(each)));
  }

  /** Ends all faults; processes that were held down come back. */
  async heal(): Promise<void> {
    this.#stop.abort();
    const { cluster } = this.#parts;
    for (const injection of [...this.#injections]) await this.#let(injection);
    for (const pid of this.#frozen) signal(pid, "SIGCONT");
    this.#frozen.clear();
    for (const link of cluster.links.values()) link.set("open");
    for (const disk of cluster.disks.values()) disk.empty();
    cluster.clock.set(0);
    cluster.wallet?.set("pay");
    cluster.releaseAll();
  }

  async #one({ step, dueMs, targets }: Planned): Promise<void> {
    await this.#rest(dueMs - performance.now());
    try {
      if (step.when !== null) await this.#record(step.when);
      if (this.#stop.signal.aborted) return;
      const names = targets.map(({ name }) => name).join(", ");
      const text = describe(step, names);
      this.deeds.push({ atMs: Math.round(this.#parts.history.nowMs()), what: text });
      this.#parts.tell(text);
      await this.#do(step, targets);
    } catch (error) {
      if (!this.#stop.signal.aborted) this.failures.push(`${step.do}: ${(error as Error).message}`);
    }
  }

  async #do(step: Step, targets: Part[]): Promise<void> {
    const { cluster } = this.#parts;
    const { clock, wallet } = cluster;
    switch (step.do) {
      case "kill":
        return this.#kill(targets, "SIGKILL", step.hold);
      case "terminate":
        return this.#kill(targets, "SIGTERM", step.hold);
      case "freeze":
        return this.#freeze(targets, step.for);
      case "wipe":
        this.#loseData();
        for (const { name } of targets)
          cluster.beforeNext(name, () =>
            rmSync(join(cluster.dirOf(name), "appendonlydir"), { recursive: true, force: true }),
          );
        return this.#kill(targets, "SIGKILL", 0);
      case "copy":
        for (const { name } of targets) {
          const to = `${cluster.dirOf(name)}.copy`;
          rmSync(to, { recursive: true, force: true });
          cpSync(join(cluster.dirOf(name), "appendonlydir"), to, { recursive: true });
        }
        return;
      case "goBack":
        this.#loseData();
        for (const { name } of targets) {
          const dir = join(cluster.dirOf(name), "appendonlydir");
          cluster.beforeNext(name, () => {
            rmSync(dir, { recursive: true, force: true });
            cpSync(`${cluster.dirOf(name)}.copy`, dir, { recursive: true });
          });
        }
        return this.#kill(targets, "SIGKILL", 0);
      case "slowDisk":
        return this.#injected(targets, step.for, (pid) => slowSyncs(pid, step.delayMs));
      case "fullDisk":
        return this.#fullDisk(targets, step.for);
      case "link": {
        const link = cluster.links.get(step.link);
        if (link === undefined) throw new Error(`there is no link "${step.link}"`);
        return this.#while(
          step.for,
          () => link.set(step.mood, step.delayMs),
          () => link.set("open"),
        );
      }
      case "clock":
        return this.#while(
          step.for,
          () => clock.set(step.seconds),
          () => clock.set(0),
        );
      case "wallet":
        return this.#while(
          step.for,
          () => wallet!.set(step.mood),
          () => wallet!.set("pay"),
        );
      case "strike":
        return this.#strike(step, targets[0]!);
      case "run":
        return this.#run(step.words);
      case "receipts":
        return this.#parts.crowd.sendReceipts(cluster.users, step.bucket);
      case "audit":
        return this.#audit();
    }
  }

  /** From here on winners do not ask again: what they have is on paper. */
  #loseData(): void {
    this.#parts.crowd.againAllowed = false;
  }

  /** All of them in one moment; stores and processes that are held stay down. */
  async #kill(targets: Part[], name: NodeJS.Signals, holdSeconds: number): Promise<void> {
    const { cluster } = this.#parts;
    if (holdSeconds > 0) for (const part of targets) cluster.hold(part.name);
    for (const pid of this.#pidsOf(targets)) signal(pid, name);
    if (holdSeconds === 0) return;
    await this.#rest(holdSeconds * 1000);
    for (const part of targets) cluster.release(part.name);
  }

  async #freeze(targets: Part[], seconds: number): Promise<void> {
    const pids = this.#pidsOf(targets);
    for (const pid of pids) {
      this.#frozen.add(pid);
      signal(pid, "SIGSTOP");
    }
    await this.#rest(seconds * 1000);
    for (const pid of pids) {
      signal(pid, "SIGCONT");
      this.#frozen.delete(pid);
    }
  }

  /** A balancer is a keeper with HAProxy's master and workers under it. */
  #pidsOf(targets: readonly Part[]): number[] {
    return targets.flatMap(({ name }) => {
      const pid = this.#parts.cluster.pid(name);
      return pid === null ? [] : treeOf(pid);
    });
  }

  async #injected(
    targets: Part[],
    seconds: number,
    begin: (pid: number) => Promise<Injection>,
  ): Promise<void> {
    for (const { name } of targets) {
      const pid = this.#parts.cluster.pid(name);
      if (pid === null) throw new Unreachable(`${name} is not running`);
      const injection = await begin(pid);
      this.#injections.add(injection);
      await this.#rest(seconds * 1000);
      await this.#let(injection);
    }
  }

  async #let(injection: Injection): Promise<void> {
    this.#injections.delete(injection);
    await injection.end();
  }

  async #fullDisk(targets: Part[], seconds: number): Promise<void> {
    const { cluster } = this.#parts;
    const [{ name }] = targets as [Part];
    const disk = cluster.disks.get(name);
    if (disk !== undefined)
      return this.#while(
        seconds,
        () => disk.fill(),
        () => disk.empty(),
      );
    await this.#injected(targets, seconds, (pid) => fullFiles(pid, appendFiles(cluster.dirOf(name))));
  }

  async #while(seconds: number, begin: () => void, end: () => void): Promise<void> {
    begin();
    await this.#rest(seconds * 1000);
    end();
  }

  /** Where the control store keeps a record's versions; `transfers/next` is the one that is not there yet. */
  #recordDir(record: string): string {
    const { cluster, rounds } = this.#parts;
    const [root] = globSync(join(cluster.places.control, cluster.event, "*"));
    if (root === undefined) throw new Unreachable(`the control store ${cluster.places.control} is empty`);
    const named = fill(record, rounds).replace("transfers/next", () => {
      const known = existsSync(join(root, "transfers")) ? readdirSync(join(root, "transfers")) : [];
      const numbers = known.map((name) => Number(name.split(".")[0])).filter(Number.isInteger);
      return `transfers/${String(Math.max(0, ...numbers) + 1).padStart(8, "0")}`;
    });
    return join(root, `${named}.record`);
  }

  /** The file of the version that is `further` beyond the newest one now. */
  #versionFile({ record, version: further }: RecordTrigger): string {
    const dir = this.#recordDir(record);
    const versions = existsSync(dir) ? readdirSync(dir).map(Number).filter(Number.isInteger) : [];
    return join(dir, String(Math.max(0, ...versions) + further).padStart(12, "0"));
  }

  async #record(trigger: RecordTrigger): Promise<void> {
    const file = this.#versionFile(trigger);
    const end = performance.now() + TRIGGER_MS_MAX;
    while (!existsSync(file)) {
      if (this.#stop.signal.aborted) return;
      if (performance.now() > end)
        throw new Unreachable(`${trigger.record} did not come to version +${trigger.version}`);
      await sleep(TRIGGER_LOOK_MS);
    }
  }

  /** The signal comes at that very write; a stopped one is woken after a while. */
  async #strike(step: Extract<Step, { do: "strike" }>, { name }: Part): Promise<void> {
    const pid = this.#parts.cluster.pid(name);
    if (pid === null) throw new Unreachable(`${name} is not running`);
    const injection = await strikeAtLink(pid, this.#versionFile(step), step.signal);
    this.#injections.add(injection);
    const end = performance.now() + STRUCK_MS_MAX;
    // Under strace a process stops for a moment at every call: only one that stays so was struck.
    let looks = 0;
    while (looks < STRUCK_LOOKS && !this.#stop.signal.aborted && performance.now() < end) {
      const isStruck = this.#parts.cluster.pid(name) !== pid || "Tt".includes(stateOf(pid) || "-");
      looks = isStruck ? looks + 1 : 0;
      await sleep(LOOK_MS);
    }
    const struck = looks >= STRUCK_LOOKS;
    if (step.signal === "STOP" && struck) this.#frozen.add(pid);
    await this.#let(injection);
    if (!struck) throw new Unreachable(`${name} never wrote ${step.record} +${step.version}`);
    this.deeds.push({ atMs: Math.round(this.#parts.history.nowMs()), what: `${name} was struck` });
    if (step.signal !== "STOP") return;
    // strace has let it go; it stays where it was.
    signal(pid, "SIGSTOP");
    await this.#rest(step.for * 1000);
    signal(pid, "SIGCONT");
    this.#frozen.delete(pid);
  }

  async #run(words: readonly string[]): Promise<void> {
    const { cluster, rounds } = this.#parts;
    const args = words.map((word) => fill(word, rounds));
    const end = performance.now() + RUN_MS_MAX;
    for (;;) {
      const { code, stderr } = await cluster.hongbao(args);
      if (code === 0) return;
      if (performance.now() > end) throw new Unreachable(errorLine(stderr, args));
      await this.#rest(RUN_AGAIN_MS);
      if (this.#stop.signal.aborted) return;
    }
  }

  /** Under load it is right, too; while a store is away it says so and finds nothing. */
  async #audit(): Promise<void> {
    const { code, stdout, stderr } = await this.#parts.cluster.hongbao(["audit", "--json"]);
    if (code !== 1) return;
    this.audits.push(stdout.trim() === "" ? stderr.trim().slice(-300) : stdout.trim().slice(-2_000));
  }

  async #rest(ms: number): Promise<void> {
    if (ms > 0) await sleep(ms, undefined, { signal: this.#stop.signal }).catch(() => undefined);
  }
}

/** {0} is the scenario's first round. */
function fill(text: string, rounds: readonly number[]): string {
  return text.replaceAll(/\{(\d)\}/g, (_whole, index: string) => String(rounds[Number(index)]));
}

function stateOf(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return stat.slice(stat.lastIndexOf(")") + 2)[0]!;
  } catch {
    return "";
  }
}

function describe(step: Step, names: string): string {
  const details = Object.entries(step)
    .filter(([name]) => !["do", "at", "jitter", "when", "target"].includes(name))
    .map(([name, value]) => `${name} ${Array.isArray(value) ? value.join(" ") : String(value)}`);
  return [step.do, names, ...details].filter((part) => part !== "").join(" ");
}
