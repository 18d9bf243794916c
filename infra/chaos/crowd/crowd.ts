/**
 * Users who behave as the page does: they poll the start file, press once it shows a key, ask again when the answer is
 * `busy` or none came (what the server asks for, and a random part that grows), ask `/result` once after `ended`, keep
 * their receipts, and send them when somebody says that data was lost.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { Load } from "../scenario.ts";
import { pick, randomFrom, seedOf, shuffled, type Random } from "../random.ts";
import type { ChaosUser } from "../stage/cluster.ts";
import type { Caller } from "./caller.ts";
import type { ToldPrize } from "./history.ts";

/** The page's bounds of asking again (balancer/site/machine.js). */
const RETRY = { attemptsMax: 8, floorMs: 150, baseMs: 700, factor: 1.8, windowMsMax: 8_000 };
/** A user whose page has given up looks at it for a while and presses "ask again". */
const AGAIN_AFTER_MS = { min: 500, span: 2_000 };
/** The page takes 1 to 10 s; here a scenario shall not last longer for it. */
const RESULT_AFTER_MS = { min: 500, span: 2_000 };
const POLL_START_MS = { min: 300, span: 500 };
/** A second request of somebody who has won already. */
const ONCE_MORE_MS = 3_000;
const RECEIPT_TRIES_MAX = 30;

export interface Press {
  user: ChaosUser;
  round: number;
  perUser: number;
}

export class Crowd {
  readonly #caller: Caller;
  readonly #random: Random;
  readonly #stop = new AbortController();
  /** What each user was told and keeps, by user. */
  readonly #kept = new Map<string, ToldPrize[]>();
  readonly #open = new Set<Promise<void>>();
  /** Nobody who has won asks once more: set while data is lost, as the page of a winner does not ask again either. */
  againAllowed = true;

  constructor(caller: Caller, seed: number) {
    this.#caller = caller;
    this.#random = randomFrom(seedOf(seed, "crowd"));
  }

  /** How many have not had their answer yet. */
  get waiting(): number {
    return this.#open.size;
  }

  /** The users of a load, in the order in which they come; the same for the same seed. */
  choose(users: readonly ChaosUser[], { users: count, firstBucketShare }: Load): ChaosUser[] {
    const first = users[0]!.bucket;
    const mixed = shuffled(this.#random, users);
    const ofFirst = mixed
      .filter(({ bucket }) => bucket === first)
      .slice(0, Math.round(count * firstBucketShare));
    const ofOthers = mixed.filter(({ bucket }) => bucket !== first).slice(0, count - ofFirst.length);
    return shuffled(this.#random, [...ofFirst, ...ofOthers]);
  }

  /** Lets users come, spread over `load.seconds` from `fromMs` (as performance.now()) on. */
  come(presses: readonly Press[], load: Load, fromMs: number): void {
    for (const press of presses) {
      const atMs = fromMs + this.#random() * load.seconds * 1000;
      const again = this.#random() < load.againShare;
      const play = this.#play(press, atMs, again).catch(() => undefined);
      this.#open.add(play);
      void play.then(() => this.#open.delete(play));
    }
  }

  /** Resolves when everybody has had an answer that ends the matter, or after so long. */
  async settled(timeoutMsMax: number): Promise<void> {
    const timer = new AbortController();
    await Promise.race([
      Promise.all([...this.#open]),
      sleep(timeoutMsMax, undefined, { signal: timer.signal }).catch(() => undefined),
    ]);
    timer.abort();
  }

  /** Everybody stops asking; resolves when the last answer is in. */
  async end(): Promise<void> {
    this.#stop.abort();
    await Promise.all([...this.#open]);
  }

  /** Everybody of a bucket who has receipts sends them, until they are taken. */
  async sendReceipts(users: readonly ChaosUser[], bucket: string): Promise<void> {
    const holders = users.filter(
      (user) => user.bucket === bucket && (this.#kept.get(user.id)?.length ?? 0) > 0,
    );
    await Promise.all(
      holders.map(async (user) => {
        const wins = this.#kept.get(user.id)!;
        const receipts = wins.flatMap(({ receipt }) => (receipt === undefined ? [] : [receipt]));
        for (let attempt = 0; attempt < RECEIPT_TRIES_MAX; attempt += 1) {
          await this.#pause(attempt === 0 ? 0 : 300, 1_000);
          const { entry } = await this.#caller.call("receipts", user, { round: wins[0]!.round, receipts });
          if (entry.status === 200) return;
        }
      }),
    );
  }

  /** Each of them asks `/result` until it answers: the last word that users get. */
  async askResults(presses: readonly Press[], tries: number): Promise<void> {
    await Promise.all(
      presses.map(async ({ user, round }) => {
        await this.#pause(0, 1_500);
        for (let attempt = 0; attempt < tries; attempt += 1) {
          const { entry, retryAfterMs } = await this.#caller.call("result", user, { round });
          if (entry.word === "ok") return;
          await sleep(retryAfterMs + this.#random() * 500);
        }
      }),
    );
  }

  async #play({ user, round, perUser }: Press, atMs: number, again: boolean): Promise<void> {
    await this.#until(atMs);
    let key = await this.#key(user, round);
    for (let n = 1; n <= perUser && key !== null;) {
      const outcome = await this.#press(user, round, n, key);
      if (outcome === "not_open") {
        key = await this.#key(user, round);
        continue;
      }
      if (outcome !== "won") return;
      if (again && this.againAllowed) await this.#onceMore(user, round, n, key);
      n += 1;
    }
  }

  /** Polls the start file until it shows a key; null when it is all over. */
  async #key(user: ChaosUser, round: number): Promise<string | null> {
    while (!this.#stop.signal.aborted) {
      const { key } = await this.#caller.call("start", user, { round });
      if (key !== null) return key;
      await this.#pause(POLL_START_MS.min, POLL_START_MS.span);
    }
    return null;
  }

  /** One press, with all the asking that the page does for it. */
  async #press(user: ChaosUser, round: number, n: number, key: string): Promise<"won" | "over" | "not_open"> {
    let attempt = 0;
    while (!this.#stop.signal.aborted) {
      const { entry, retryAfterMs } = await this.#caller.call("grab", user, { round, n, key });
      switch (entry.word) {
        case "won":
          this.#keep(user, entry.prizes);
          return "won";
        case "ended":
          return this.#checkResult(user, round, n);
        case "not_open":
          await this.#pause(POLL_START_MS.min, POLL_START_MS.span);
          return "not_open";
        case "busy":
        case "none":
        case "limited":
        case "strange": {
          const windowMs = Math.min(RETRY.windowMsMax, RETRY.baseMs * RETRY.factor ** attempt);
          if (attempt >= RETRY.attemptsMax) {
            attempt = 0;
            await this.#pause(AGAIN_AFTER_MS.min, AGAIN_AFTER_MS.span);
          } else {
            attempt += 1;
            await this.#pause(retryAfterMs + RETRY.floorMs, windowMs);
          }
          break;
        }
        default:
          return "over";
      }
    }
    return "over";
  }

  /** After an end the truth is asked for once, so that a lost answer hides no win. */
  async #checkResult(user: ChaosUser, round: number, n: number): Promise<"won" | "over"> {
    await this.#pause(RESULT_AFTER_MS.min, RESULT_AFTER_MS.span);
    for (let attempt = 0; attempt < RETRY.attemptsMax && !this.#stop.signal.aborted; attempt += 1) {
      const { entry, retryAfterMs } = await this.#caller.call("result", user, { round });
      if (entry.word === "ok") {
        this.#keep(user, entry.prizes);
        return entry.prizes.some((prize) => prize.n === n) ? "won" : "over";
      }
      await this.#pause(retryAfterMs + RETRY.floorMs, RETRY.baseMs);
    }
    return "over";
  }

  /** A winner asks again for the same: by a grab, or for what there is. */
  async #onceMore(user: ChaosUser, round: number, n: number, key: string): Promise<void> {
    await this.#pause(0, ONCE_MORE_MS);
    if (this.#stop.signal.aborted || !this.againAllowed) return;
    const call = pick(this.#random, ["grab", "grab", "result", "wins"] as const);
    await this.#caller.call(call, user, { round, n, key });
  }

  #keep(user: ChaosUser, prizes: readonly ToldPrize[]): void {
    const kept = this.#kept.get(user.id) ?? [];
    this.#kept.set(user.id, kept);
    for (const told of prizes) if (!kept.some(({ prize }) => prize === told.prize)) kept.push(told);
  }

  async #until(atMs: number): Promise<void> {
    const ms = atMs - performance.now();
    if (ms > 0) await sleep(ms, undefined, { signal: this.#stop.signal }).catch(() => undefined);
  }

  async #pause(minMs: number, spanMs: number): Promise<void> {
    const ms = minMs + this.#random() * spanMs;
    await sleep(ms, undefined, { signal: this.#stop.signal }).catch(() => undefined);
  }
}
