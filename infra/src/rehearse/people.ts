/**
 * Users who press as people do: each at a moment of their own, whatever the answers before it took, and again as the page does
 * when the answer is `busy` or none came. wrk cannot do that: its clients wait for each other. Good for some thousand presses a
 * second; for all that a cluster bears there is wrk.
 */
import { peoplePolicy, retryMs } from "./page-policy.ts";
import { Asker, wordOf } from "./asker.ts";
import type { SampledUser, Samples } from "./sampler.ts";

export interface PeopleJob {
  url: string;
  round: number;
  key: string;
  perUser: number;
  users: SampledUser[];
  connections: number;
  spreadMs: number;
  durationMsMax: number;
  signal?: AbortSignal;
}

const VERIFIERS = 12;

export class People {
  readonly #job: PeopleJob;
  readonly #asker: Asker;
  readonly #samples: Samples = { latenciesMs: new Map(), told: new Map(), answers: [], errors: 0 };
  readonly #end: AbortSignal;
  readonly #waiting = new Map<NodeJS.Timeout, () => void>();
  #unanswered = 0;

  constructor(job: PeopleJob) {
    this.#job = job;
    this.#asker = new Asker(job.url, job.connections);
    const tooLate = AbortSignal.timeout(job.durationMsMax + job.spreadMs);
    this.#end = job.signal ? AbortSignal.any([job.signal, tooLate]) : tooLate;
    this.#end.addEventListener("abort", () => {
      for (const [timer, resolve] of this.#waiting) {
        clearTimeout(timer);
        resolve();
      }
    });
  }

  close(): void {
    this.#asker.close();
  }

  /** Resolves when everybody knows what they have, or the time is over. */
  async press(): Promise<{ beganAtMs: number; finished: boolean; samples: Samples }> {
    const beganAtMs = Date.now();
    await Promise.all(this.#job.users.map((user) => this.#play(user, Math.random() * this.#job.spreadMs)));
    return { beganAtMs, finished: this.#unanswered === 0, samples: this.#samples };
  }

  /** Asks everybody who was told of a win whether it is still there. */
  async verify(): Promise<{ verified: number; missing: number; unknown: number }> {
    const sums = { verified: 0, missing: 0, unknown: 0 };
    const winners = this.#job.users.filter(({ user }) => this.#samples.told.has(user)).values();
    const verifier = async (): Promise<void> => {
      for (const { user, token } of winners) {
        const told = this.#samples.told.get(user)!;
        const known = await this.#asker.winsOf(this.#job.round, token);
        if (known === null) sums.unknown += told.size;
        else for (const id of told) sums[known.has(id) ? "verified" : "missing"] += 1;
      }
    };
    await Promise.all(Array.from({ length: VERIFIERS }, verifier));
    return sums;
  }

  async #play(user: SampledUser, atMs: number): Promise<void> {
    await this.#pause(atMs);
    for (let n = 1; n <= this.#job.perUser; n += 1) {
      if (n > 1) await this.#pause(peoplePolicy.thinkMsMin + Math.random() * peoplePolicy.thinkMsSpan);
      if (!(await this.#press(user, n))) return;
    }
  }

  /** One press, with all the asking again that follows; whether it won. */
  async #press(user: SampledUser, n: number): Promise<boolean> {
    const { attemptsMax, againMsMin, againMsSpan, roundsOfAskingMax } = peoplePolicy;
    for (let asking = 0; asking < roundsOfAskingMax && !this.#end.aborted; asking += 1) {
      for (let attempt = 0; attempt <= attemptsMax && !this.#end.aborted; attempt += 1) {
        const { word, retryAfterMs } = await this.#grab(user, n);
        if (word === "won" || word === "repeat") return true;
        if (word !== "busy" && word !== "limited" && word !== "none") return false;
        if (attempt < attemptsMax) await this.#pause(retryMs(attempt, Math.random(), retryAfterMs));
      }
      await this.#pause(againMsMin + Math.random() * againMsSpan);
    }
    this.#unanswered += 1;
    return false;
  }

  async #grab({ user, token }: SampledUser, n: number): Promise<{ word: string; retryAfterMs: number }> {
    const { round, key } = this.#job;
    const sentAtMs = performance.now();
    const path = `/v1/rounds/${round}/grab?k=${encodeURIComponent(key)}&n=${n}`;
    const answer = await this.#asker.ask("POST", path, token);
    if (answer === null) {
      this.#samples.errors += 1;
      return { word: "none", retryAfterMs: 0 };
    }
    const { word, id } = wordOf(answer);
    const told = this.#samples.told.get(user) ?? new Set<string>();
    const isNewWin = word === "won" && !told.has(id);
    if (isNewWin) this.#samples.told.set(user, told.add(id));
    const seen = word === "won" && !isNewWin ? "repeat" : word;
    this.#samples.answers.push({ atMs: Date.now(), isNewWin });
    const list = this.#samples.latenciesMs.get(seen) ?? [];
    list.push(performance.now() - sentAtMs);
    this.#samples.latenciesMs.set(seen, list);
    return { word: seen, retryAfterMs: answer.retryAfterMs };
  }

  /** Ten thousands wait at once: a signal would look through all its listeners for each of them. */
  async #pause(ms: number): Promise<void> {
    if (this.#end.aborted) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(timer);
        resolve();
      }, ms);
      this.#waiting.set(timer, resolve);
    });
  }
}
