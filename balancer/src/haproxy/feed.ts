/**
 * Brings what the controllers say into HAProxy's maps: on disk first, so that the next HAProxy starts with it, then
 * into the running one. The way in lives on with the last word when no controller answers.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { KNOWN, readIfThere, writeWhole } from "./files.ts";
import { MAPS, mapText, pushedMaps } from "./maps.ts";
import type { BalancerNews, KnownRounds } from "./news.ts";
import { mergeNews, readKnown, readNews, roundsView } from "./news.ts";
import type { Runtime } from "./runtime.ts";
import { reconcileMap } from "./runtime.ts";

const PULL_MS = 250;
const ASK_MS_MAX = 1_000;
/** An answer older than this no longer counts as "said now". */
const FRESH_MS = 2_000;
/** HAProxy's maps are compared with ours at least so often, whatever was told. */
const COMPARE_MS = 1_000;
const FIRST_WORD_MS_MAX = 2_000;

/** The pack's event and rounds, as far as there is a pack to ask. */
export interface FeedPlan {
  event: string | null;
  rounds: number[] | null;
}

export interface FeedParts {
  dir: string;
  /** `host:port` of every controller. */
  controllers: { id: string; admin: string }[];
  operatorSecret: string;
  plan: FeedPlan;
  /** Null while HAProxy is not running. */
  runtime: () => Runtime | null;
  onTrouble?: (what: string, error: unknown) => void;
}

interface Voice {
  id: string;
  admin: string;
  news: BalancerNews | null;
  atMs: number;
}

export class Feed {
  readonly #parts: FeedParts;
  readonly #voices: Voice[];
  readonly #stopping = new AbortController();
  #plan: FeedPlan;
  #known: KnownRounds | null;
  #written = "";
  #comparedAtMs = -Infinity;
  #pushing = false;
  #loops: Promise<void>[] = [];
  #firstWord: (() => void) | null = null;

  constructor(parts: FeedParts) {
    this.#parts = parts;
    this.#plan = parts.plan;
    this.#voices = parts.controllers.map(({ id, admin }) => ({ id, admin, news: null, atMs: -Infinity }));
    this.#known = readKnown(readIfThere(parts.dir, KNOWN) ?? "", parts.plan.event);
  }

  get known(): KnownRounds | null {
    return this.#known;
  }

  /** Since when no controller was heard, in ms; Infinity before the first word. */
  get ageMs(): number {
    return performance.now() - Math.max(...this.#voices.map(({ atMs }) => atMs));
  }

  /** Asks the controllers, for a moment, before HAProxy starts; then goes on asking until stop(). */
  async start(): Promise<void> {
    const first = new Promise<void>((resolve) => (this.#firstWord = resolve));
    this.#writeFiles();
    this.#loops = this.#voices.map((voice) => this.#listen(voice));
    await Promise.race([first, sleep(FIRST_WORD_MS_MAX, undefined, { signal: this.#stopping.signal })]);
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await Promise.allSettled(this.#loops);
  }

  /** A reload may have found another pack. */
  setPlan(plan: FeedPlan): void {
    this.#plan = plan;
    this.#merge();
    this.#writeFiles();
  }

  /** After HAProxy started or reloaded: it read the files, perhaps a moment before they changed. */
  async compare(): Promise<void> {
    this.#comparedAtMs = -Infinity;
    await this.#push();
  }

  async #listen(voice: Voice): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      const began = performance.now();
      const news = await this.#ask(voice.admin);
      if (news !== null) {
        voice.news = news;
        voice.atMs = performance.now();
        this.#merge();
        this.#firstWord?.();
      }
      await this.#push();
      const restMs = Math.max(0, PULL_MS - (performance.now() - began));
      await sleep(restMs, undefined, { signal }).catch(() => undefined);
    }
  }

  async #ask(admin: string): Promise<BalancerNews | null> {
    try {
      const response = await fetch(`http://${admin}/admin/balancer`, {
        headers: { authorization: `Bearer ${this.#parts.operatorSecret}` },
        signal: AbortSignal.timeout(ASK_MS_MAX),
      });
      return response.ok ? readNews(await response.json()) : (await response.body?.cancel(), null);
    } catch {
      return null;
    }
  }

  #merge(): void {
    const sinceMs = performance.now() - FRESH_MS;
    const fresh = this.#voices.flatMap(({ news, atMs }) => (news !== null && atMs >= sinceMs ? [news] : []));
    const before = JSON.stringify(this.#known);
    this.#known = mergeNews(this.#known, fresh, this.#parts.plan.event);
    if (JSON.stringify(this.#known) === before) return;
    this.#writeFiles();
    this.#comparedAtMs = -Infinity;
  }

  #writeFiles(): void {
    const maps = pushedMaps(roundsView(this.#known, this.#plan.rounds));
    const texts = { rounds: mapText(maps.rounds), stocks: mapText(maps.stocks) };
    const all = JSON.stringify([texts, this.#known]);
    if (all === this.#written) return;
    try {
      writeWhole(this.#parts.dir, MAPS.rounds, texts.rounds);
      writeWhole(this.#parts.dir, MAPS.stocks, texts.stocks);
      if (this.#known !== null) writeWhole(this.#parts.dir, KNOWN, JSON.stringify(this.#known));
      this.#written = all;
    } catch (error) {
      // A full disk must not keep HAProxy from hearing it now.
      this.#parts.onTrouble?.("writing the maps", error);
    }
  }

  async #push(): Promise<void> {
    const runtime = this.#parts.runtime();
    const isDue = performance.now() - this.#comparedAtMs >= COMPARE_MS;
    if (runtime === null || this.#pushing || !isDue) return;
    this.#pushing = true;
    const comparedAtMs = performance.now();
    this.#comparedAtMs = comparedAtMs;
    try {
      const maps = pushedMaps(roundsView(this.#known, this.#plan.rounds));
      const stocksChanged = await reconcileMap(runtime, MAPS.stocks, maps.stocks);
      await reconcileMap(runtime, MAPS.rounds, maps.rounds);
      // What was learned of older stocks is never looked up again; it only takes room.
      if (stocksChanged > 0) await runtime.command(`clear map ${MAPS.ended}`);
    } catch (error) {
      this.#comparedAtMs = -Infinity;
      this.#parts.onTrouble?.("telling haproxy", error);
    } finally {
      this.#pushing = false;
    }
  }
}
