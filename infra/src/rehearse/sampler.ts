/**
 * A few users beside wrk whose every answer is timed: wrk's own latencies mix wins with the rest, and it cannot tell
 * which request an answer belongs to. It asks at a gentle pace and so measures what a client sees under wrk's load.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { Asker, wordOf, type Answer } from "./asker.ts";

export interface SampledUser {
  user: string;
  token: string;
}

export interface SamplerJob {
  url: string;
  round: number;
  key: string;
  perUser: number;
  users: SampledUser[];
  connections: number;
  /** Aborted when all others have grabbed. */
  stop: AbortSignal;
}

export interface Samples {
  /** Milliseconds from sending to the whole answer, by result word; a repeated win is `repeat`. */
  latenciesMs: Map<string, number[]>;
  /** Prize ids that were told, by user. */
  told: Map<string, Set<string>>;
  /** When each answer came (ms since 1970), and whether it was a new win. */
  answers: { atMs: number; isNewWin: boolean }[];
  /** Requests that got no answer. */
  errors: number;
}

const PAUSE_MS_MIN = 15;
/** Below what a user may ask for, so that few users ask slowly instead of being limited. */
const ASKS_PER_SECOND_MAX = 4;
const SAMPLES_MAX = 200_000;

export class Sampler {
  readonly #job: SamplerJob;
  readonly #asker: Asker;
  readonly #samples: Samples = { latenciesMs: new Map(), told: new Map(), answers: [], errors: 0 };
  #next = 0;
  #taken = 0;

  constructor(job: SamplerJob) {
    this.#job = job;
    this.#asker = new Asker(job.url, job.connections);
  }

  /** Every user asks once, then they go on asking in turn until the stop. */
  async run(): Promise<Samples> {
    const { users, connections } = this.#job;
    if (users.length === 0) return this.#samples;
    await Promise.all(Array.from({ length: Math.min(connections, users.length) }, () => this.#client()));
    return this.#samples;
  }

  /** Told wins that `/result` does not know, and how many it knows. */
  async verify(): Promise<{ verified: number; missing: string[]; unknown: number }> {
    const outcome = { verified: 0, missing: [] as string[], unknown: 0 };
    const tokens = new Map(this.#job.users.map(({ user, token }) => [user, token]));
    for (const [user, told] of this.#samples.told) {
      const known = await this.#asker.winsOf(this.#job.round, tokens.get(user)!);
      if (known === null) outcome.unknown += told.size;
      else
        for (const id of told) {
          if (known.has(id)) outcome.verified += 1;
          else outcome.missing.push(`${user}: ${id}`);
        }
    }
    return outcome;
  }

  close(): void {
    this.#asker.close();
  }

  async #client(): Promise<void> {
    const { users, perUser, connections, stop } = this.#job;
    const turnMs = (1000 * perUser) / ASKS_PER_SECOND_MAX;
    const pauseMs = Math.max(PAUSE_MS_MIN, (turnMs * Math.min(connections, users.length)) / users.length);
    while ((!stop.aborted || this.#next < users.length) && this.#taken < SAMPLES_MAX) {
      const turn = this.#next++;
      const { user, token } = users[turn % users.length]!;
      for (let n = 1; n <= perUser; n++) await this.#grab(user, token, n);
      await sleep(pauseMs, undefined, { signal: stop }).catch(() => undefined);
    }
  }

  async #grab(user: string, token: string, n: number): Promise<void> {
    const { round, key } = this.#job;
    const sentAt = performance.now();
    const answer = await this.#asker.ask(
      "POST",
      `/v1/rounds/${round}/grab?k=${encodeURIComponent(key)}&n=${n}`,
      token,
    );
    const tookMs = performance.now() - sentAt;
    this.#taken += 1;
    if (answer === null) {
      this.#samples.errors += 1;
      return;
    }
    const word = this.#note(user, answer);
    this.#samples.answers.push({ atMs: Date.now(), isNewWin: word === "won" });
    const list = this.#samples.latenciesMs.get(word) ?? [];
    list.push(tookMs);
    this.#samples.latenciesMs.set(word, list);
  }

  #note(user: string, answer: Answer): string {
    const { word, id } = wordOf(answer);
    if (word !== "won") return word;
    const told = this.#samples.told.get(user) ?? new Set();
    if (told.has(id)) return "repeat";
    this.#samples.told.set(user, told.add(id));
    return "won";
  }
}
