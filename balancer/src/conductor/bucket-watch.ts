/** Watches one bucket through the admin ports of its processes: whichever answers. A slow bucket delays no other. */
import { setTimeout as sleep } from "node:timers/promises";
import type { AdminClient, AdminRound, AdminState, MoveAnswer } from "@hongbao/bucket-service";
import { BucketClock } from "./clock.ts";
import { keyHash, type Installation, type SeenBucket } from "./decide.ts";

const POLL_MS = 150;
/** While another controller leads: enough to take over, should it fall silent. */
const POLL_MS_FOLLOWING = 500;
/** Without an answer for so long a bucket counts as out of reach. */
const REACH_MS = 1_500;
/** A look that takes longer has failed, as far as the others are concerned: a frozen bucket must not hold them up. */
const LOOK_MS_MAX = 500;

export interface BucketWatchParts {
  id: string;
  /** Clients of the bucket's processes; the first that answers is kept. setClients() may change them. */
  clients: readonly AdminClient[];
  monotonicMs: () => number;
  /** Whether this controller leads; one that follows looks less often. */
  isLeading?: () => boolean;
  /** An installation came to its end: the next step may be due. */
  onInstalled?: () => void;
}

export class BucketWatch {
  readonly id: string;
  readonly #parts: BucketWatchParts;
  readonly #clock = new BucketClock();
  readonly #stopping = new AbortController();
  #clients: readonly AdminClient[];
  #client = 0;
  #state: AdminState | null = null;
  #reachedAtMs = -Infinity;
  #failedAtMs = -Infinity;
  #lookingSinceMs = Infinity;
  #refusing = false;
  readonly #installing = new Set<number>();

  constructor(parts: BucketWatchParts) {
    this.id = parts.id;
    this.#parts = parts;
    this.#clients = parts.clients;
  }

  /** Processes came or went. */
  setClients(clients: readonly AdminClient[]): void {
    if (clients.length === 0) return;
    this.#clients = clients;
    this.#client %= clients.length;
  }

  /** The last answer, however old. */
  get state(): AdminState | null {
    return this.#state;
  }

  seen(): SeenBucket {
    const monotonicMs = this.#parts.monotonicMs();
    const reachable = monotonicMs - this.#reachedAtMs <= REACH_MS;
    const failed = this.#failedAtMs > this.#reachedAtMs || monotonicMs - this.#lookingSinceMs > LOOK_MS_MAX;
    return {
      id: this.id,
      reachable,
      unsure: !reachable && !failed,
      refusing: this.#refusing,
      fenced: this.#state !== null && this.#state.fenced !== null,
      mysql: this.#state?.mysql === "ok",
      epoch: this.#state?.epoch ?? "",
      moves: this.#state?.moves ?? 0,
      nowMs: this.#clock.nowMs(monotonicMs),
      rounds: new Map(this.#state?.rounds.map((round) => [round.round, round]) ?? []),
    };
  }

  /** Looks again and again until stop(). */
  async run(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      await this.look();
      const restMs = (this.#parts.isLeading?.() ?? true) ? POLL_MS : POLL_MS_FOLLOWING;
      await sleep(restMs, undefined, { signal }).catch(() => undefined);
    }
  }

  stop(): void {
    this.#stopping.abort();
  }

  /** One look; never rejects. A process that cannot reach its Redis knows nothing of the bucket. */
  async look(): Promise<void> {
    const { monotonicMs } = this.#parts;
    this.#lookingSinceMs = monotonicMs();
    for (let tries = 0; tries < this.#clients.length; tries += 1) {
      const state = await this.#clients[this.#client]!.state().catch(() => null);
      if (state !== null && (state.redis === "ok" || this.#state === null)) this.#state = state;
      if (state?.redis === "ok") {
        this.#reachedAtMs = monotonicMs();
        this.#lookingSinceMs = Infinity;
        this.#clock.saw(state.timeMs, this.#reachedAtMs);
        return;
      }
      this.#client = (this.#client + 1) % this.#clients.length;
    }
    this.#failedAtMs = monotonicMs();
    this.#lookingSinceMs = Infinity;
  }

  /** Installs a round, unless that is under way; what came of it shows in seen(). Never rejects. */
  async install(round: number, installation: Installation): Promise<void> {
    if (this.#installing.has(round)) return;
    this.#installing.add(round);
    try {
      const answer = await this.#clients[this.#client]!.putRound(round, installation);
      this.#refusing = false;
      if (answer.ok) this.#remember(round, installation);
      // Another version is in place: look what it is before anything is decided again.
      else await this.look();
    } catch {
      this.#refusing = true;
      this.#client = (this.#client + 1) % this.#clients.length;
    } finally {
      this.#installing.delete(round);
    }
    this.#parts.onInstalled?.();
  }

  /** Tells that nothing follows an empty stock. Errors: Unreachable. */
  async setFinal(round: number, stock: number): Promise<void> {
    const isFinal = await this.#call((client) => client.setFinal(round, stock));
    const known = this.#round(round);
    if (isFinal && known?.stock === stock) known.final = true;
    // Stock came, and is better looked at before anything else is decided.
    else await this.look();
  }

  /** One half of a transfer; afterwards the bucket is looked at. Errors: Unreachable (outcome unknown). */
  async move<T>(half: (client: AdminClient) => Promise<MoveAnswer<T>>): Promise<MoveAnswer<T>> {
    const answer = await this.#call(half);
    await this.look();
    return answer;
  }

  /** A process that fails is not the one that is asked next. */
  async #call<T>(work: (client: AdminClient) => Promise<T>): Promise<T> {
    const asked = this.#client;
    try {
      return await work(this.#clients[asked]!);
    } catch (error) {
      if (this.#client === asked) this.#client = (asked + 1) % this.#clients.length;
      throw error;
    }
  }

  #round(round: number): AdminRound | undefined {
    return this.#state?.rounds.find((each) => each.round === round);
  }

  /** So that the next step of an opening need not wait for the next look. */
  #remember(round: number, { v, opensAtMs, closesAtMs, key }: Installation): void {
    const known = this.#round(round);
    if (known === undefined || known.v > v) return;
    Object.assign(known, { v, opensAtMs, closesAtMs, hasKey: key !== null });
    known.keyHash = key === null ? null : keyHash(key);
  }
}
