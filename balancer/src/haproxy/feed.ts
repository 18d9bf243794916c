/**
 * Brings what the controllers say into HAProxy's maps: on disk first, so that the next HAProxy starts with it, then
 * into the running one. The way in lives on with the last word when no controller answers.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { KNOWN, KNOWN_SWITCHES, readIfThere, writeWhole } from "./files.ts";
import { MAPS, mapText, pushedMaps } from "./maps.ts";
import type { BalancerNews, KnownRounds } from "./news.ts";
import { mergeNews, mergeShadow, readKnown, readNews, roundsView, withShadow } from "./news.ts";
import type { Runtime } from "./runtime.ts";
import { reconcileMap, reconcileVariables, requestRate } from "./runtime.ts";
import {
  mergeSwitches,
  readKnownSwitches,
  switchView,
  type KnownSwitches,
  type SwitchVariables,
  type SwitchView,
} from "./switched.ts";

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
  /** Of the topology. */
  buckets: string[];
}

export interface FeedParts {
  /** Who pulls, for people. */
  id: string;
  dir: string;
  /** `host:port` of every controller. */
  controllers: { id: string; admin: string }[];
  operatorSecret: string;
  plan: FeedPlan;
  /** Null while HAProxy is not running. */
  runtime: () => Runtime | null;
  /** HAProxy's next start should find these in its configuration. */
  onVariables?: (variables: SwitchVariables) => void;
  nowMs?: () => number;
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
  #switches: KnownSwitches | null;
  /** Of a rehearsal; only ever what was heard just now. */
  #shadow: KnownRounds | null = null;
  /** The version of the switches that HAProxy obeys; -1: not known. */
  #obeyed = -1;
  #requestsPerS = 0;
  #variables = "";
  #wanted = "";
  #triedAtMs = -Infinity;
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
    this.#switches = readKnownSwitches(readIfThere(parts.dir, KNOWN_SWITCHES) ?? "", parts.plan.event);
    this.#variables = JSON.stringify(this.variables);
  }

  get known(): KnownRounds | null {
    return this.#known;
  }
  get switches(): KnownSwitches | null {
    return this.#switches;
  }
  /** What the configuration of a HAProxy that starts now should say. */
  get variables(): SwitchVariables {
    return this.#view().variables;
  }

  #view(): SwitchView {
    const nowMs = (this.#parts.nowMs ?? Date.now)();
    return switchView(this.#switches?.set.settings ?? [], this.#plan.buckets, nowMs);
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
      // The time of a setting, or of a rehearsal, may be over, whoever answers.
      else this.#merge();
      await this.#push();
      const restMs = Math.max(0, PULL_MS - (performance.now() - began));
      await sleep(restMs, undefined, { signal }).catch(() => undefined);
    }
  }

  async #ask(admin: string): Promise<BalancerNews | null> {
    try {
      const { id } = this.#parts;
      const said = { as: id, switches: String(this.#obeyed), rate: String(this.#requestsPerS) };
      const response = await fetch(`http://${admin}/admin/balancer?${new URLSearchParams(said).toString()}`, {
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
    this.#known = mergeNews(this.#known, fresh, this.#parts.plan.event);
    this.#shadow = mergeShadow(this.#shadow, fresh);
    this.#switches = mergeSwitches(this.#switches, fresh, this.#parts.plan.event);
    this.#writeFiles();
  }

  #maps(): { maps: ReturnType<typeof pushedMaps>; places: Map<string, string>; variables: SwitchVariables } {
    const { word, places, variables } = this.#view();
    const view = withShadow(roundsView(this.#known, this.#plan.rounds, word), this.#shadow, word);
    return { maps: pushedMaps(view), places, variables };
  }

  /** Where something is to be changed; then HAProxy is told at once, too. */
  #writeFiles(): void {
    const { maps, places, variables } = this.#maps();
    const texts = { rounds: mapText(maps.rounds), stocks: mapText(maps.stocks), places: mapText(places) };
    const all = JSON.stringify([texts, variables, this.#known, this.#switches]);
    const nowMs = performance.now();
    if (all === this.#written || (all === this.#wanted && nowMs - this.#triedAtMs < COMPARE_MS)) return;
    if (all !== this.#wanted) this.#comparedAtMs = -Infinity;
    this.#wanted = all;
    this.#triedAtMs = nowMs;
    try {
      if (JSON.stringify(variables) !== this.#variables) this.#parts.onVariables?.(variables);
      this.#variables = JSON.stringify(variables);
      writeWhole(this.#parts.dir, MAPS.switches, texts.places);
      writeWhole(this.#parts.dir, MAPS.rounds, texts.rounds);
      writeWhole(this.#parts.dir, MAPS.stocks, texts.stocks);
      if (this.#known !== null) writeWhole(this.#parts.dir, KNOWN, JSON.stringify(this.#known));
      if (this.#switches !== null)
        writeWhole(this.#parts.dir, KNOWN_SWITCHES, JSON.stringify(this.#switches));
      this.#written = all;
    } catch (error) {
      // A full disk must not keep HAProxy from hearing it now.
      this.#parts.onTrouble?.("writing the maps", error);
    }
  }

  async #push(): Promise<void> {
    const runtime = this.#parts.runtime();
    const isDue = performance.now() - this.#comparedAtMs >= COMPARE_MS;
    if (runtime === null) this.#obeyed = -1;
    if (runtime === null || this.#pushing || !isDue) return;
    this.#pushing = true;
    const comparedAtMs = performance.now();
    this.#comparedAtMs = comparedAtMs;
    try {
      const { maps, places, variables } = this.#maps();
      const v = this.#switches?.set.v ?? 0;
      // Before the rounds: nobody is sent to look up what is not there.
      await reconcileMap(runtime, MAPS.switches, places);
      await reconcileVariables(runtime, variables);
      const stocksChanged = await reconcileMap(runtime, MAPS.stocks, maps.stocks);
      await reconcileMap(runtime, MAPS.rounds, maps.rounds);
      this.#obeyed = v;
      // What was learned of older stocks is never looked up again; it only takes room.
      if (stocksChanged > 0) await runtime.command(`clear map ${MAPS.ended}`);
      this.#requestsPerS = await requestRate(runtime, "public");
    } catch (error) {
      this.#comparedAtMs = -Infinity;
      this.#obeyed = -1;
      this.#parts.onTrouble?.("telling haproxy", error);
    } finally {
      this.#pushing = false;
    }
  }
}
