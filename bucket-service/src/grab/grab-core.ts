import type { LiveSwitches, PackRound, SwitchValues, UserTable } from "@hongbao/preprocess";
import { claimField } from "../redis/keys.ts";
import { isDryForGood, type BucketState, type BucketStore, type GrabReply } from "../redis/scripts.ts";
import type { AckMode } from "../switches/ack-mode.ts";
import { Admission } from "./admission.ts";
import type { AnswerWord } from "./answers.ts";
import { Breather } from "./breather.ts";
import type { BucketView } from "./bucket-view.ts";
import type { DurableWait } from "./durable-wait.ts";
import { OrderGate, type Known } from "./gate.ts";
import type { UserLimits } from "./limits.ts";

/** Bounds of the grab path. */
export const grabPolicy = {
  /** Claims in one script call; the Lua stack would bear 3,900. */
  batchMax: 512,
  /** A further call starts while others are under way only when this many wait: batches grow under load. */
  batchEager: 64,
  callsUnderWayMax: 4,
} as const;

/**
 * How the core answers a grab. prizeId is 0 unless won; stock is the round's stock number when the word is `ended`
 * because this bucket's stock is empty, else 0.
 */
export type GrabListener = (word: AnswerWord, prizeId: number, stock: number) => void;

/** What one grab asks for. Any door makes it, after it has established who the user is. */
export interface GrabAsk {
  round: number;
  user: string;
  n: number;
  key: string;
  /** The request comes a second time, so an earlier pass may have won: ask Redis, whatever is remembered. */
  secondPass: boolean;
  /** Written by the core: this user had asked a moment before, which HAProxy wants to know. */
  often: boolean;
}

/**
 * The grab, free of any door, top to bottom: limit, eligibility, key, what is remembered, the order gate of an item round, then
 * one script call for all who wait.
 * One object per process; requests of one round share its lane.
 */
export class GrabCore {
  readonly #lanes = new Map<number, Lane>();
  readonly #users: UserTable;
  readonly #view: BucketView;
  readonly #ownsUser: (user: string) => boolean;
  readonly #limits: UserLimits;
  /** What everybody is told while a switch keeps grabs from Redis; null nearly always. */
  #shut: "ended" | "busy" | null = null;
  readonly #admission: Admission;
  readonly #ticker: NodeJS.Timeout;

  constructor(parts: {
    store: BucketStore;
    view: BucketView;
    users: UserTable;
    rounds: readonly PackRound[];
    journalMax: number;
    durable: DurableWait;
    ack: Pick<AckMode, "waits">;
    switches: LiveSwitches;
    /** Whether the user's slot belongs to this bucket; checked again here, behind the balancer. */
    ownsUser: (user: string) => boolean;
    limits: UserLimits;
    admission?: Admission;
    observe?: GrabObserver;
  }) {
    this.#users = parts.users;
    this.#view = parts.view;
    this.#ownsUser = parts.ownsUser;
    this.#limits = parts.limits;
    const admission = (this.#admission = parts.admission ?? new Admission());
    const breather = new Breather();
    for (const round of parts.rounds) {
      const lane = new Lane(round, { ...parts, admission, breather });
      const gate = round.gate ?? Number.POSITIVE_INFINITY;
      if (round.kind === "item") lane.setGate(() => parts.switches.current.gate || gate);
      this.#lanes.set(round.id, lane);
    }
    parts.view.onState((state) => this.#learn(state));
    const obey = ({ grab, ended }: SwitchValues): void => {
      this.#shut = ended ? "ended" : grab ? null : "busy";
    };
    obey(parts.switches.current);
    parts.switches.onChange(obey);
    this.#ticker = setInterval(() => this.#tick(), admission.policy.tickMs);
    this.#ticker.unref();
  }

  /** How many requests may be here at once, while there are too many; else 0. */
  get window(): number {
    return this.#admission.window;
  }

  /** Ends what the core does by itself; grabs may still come. */
  stop(): void {
    clearInterval(this.#ticker);
  }

  has(round: number): boolean {
    return this.#lanes.has(round);
  }

  /** Answers exactly once, in this turn or a later one. */
  grab(ask: GrabAsk, answer: GrabListener): void {
    const lane = this.#lanes.get(ask.round);
    if (lane === undefined) return answer("no_such_round", 0, 0);
    if (!(ask.n >= 1 && ask.n <= lane.perUser)) return answer("bad_request", 0, 0);
    if (!ask.secondPass) {
      const isAllowed = this.#limits.allows(ask.user);
      ask.often = this.#limits.askedOften;
      if (!isAllowed) return answer("limited", 0, 0);
    }
    if (!this.#users.mayTakePart(ask.user, ask.round)) {
      // A user of another bucket is a routing fault of ours, not a verdict on the user.
      return answer(this.#ownsUser(ask.user) ? "not_eligible" : "busy", 0, 0);
    }
    if (this.#shut !== null) return answer(this.#shut, 0, 0);
    if (this.#view.trust !== "ok") return answer("busy", 0, 0);
    if (!lane.keyFits(ask.key)) return this.#askAgainForKey(lane, ask, answer);
    this.#enter(lane, ask, answer);
  }

  #enter(lane: Lane, ask: GrabAsk, answer: GrabListener): void {
    const known = ask.secondPass ? null : lane.known();
    if (known !== null) return answer(known.word, 0, known.stock);
    const field = claimField(ask.user, ask.n);
    if (lane.gate === null || ask.secondPass) lane.wait(field, answer);
    else lane.gate.enter(field, answer);
  }

  /** The key may have been installed through another process a moment ago. */
  #askAgainForKey(lane: Lane, ask: GrabAsk, answer: GrabListener): void {
    void this.#view.refreshSoon().then(() => {
      if (lane.keyFits(ask.key)) this.#enter(lane, ask, answer);
      else answer("not_open", 0, 0);
    });
  }

  #tick(): void {
    // A process that was kept from running finds answers that came meanwhile, so it must not judge before it has read them.
    if (!this.#admission.tick()) return;
    const nowMs = performance.now();
    for (const lane of this.#lanes.values()) lane.tick(nowMs);
  }

  #learn(state: BucketState): void {
    for (const round of state.rounds)
      this.#lanes.get(round.round)?.learn(round.stock, isDryForGood(round, state.timeMs));
  }
}

/** What is measured on the path; plain calls, so that a test or a bench can count too. */
export interface GrabObserver {
  batch(size: number, milliseconds: number, ok: boolean): void;
}

interface LaneParts {
  store: BucketStore;
  view: BucketView;
  journalMax: number;
  durable: DurableWait;
  ack: Pick<AckMode, "waits">;
  admission: Admission;
  breather: Breather;
  observe?: GrabObserver;
}

/** A script call under way. `given up` when it took too long: then its listeners have been told `busy`. */
interface Call {
  listeners: GrabListener[];
  beganMs: number;
}

const NOBODY: GrabListener[] = [];

/** One round's queue to Redis. */
class Lane {
  readonly perUser: number;
  gate: OrderGate | null = null;
  readonly #round: number;
  readonly #store: BucketStore;
  readonly #view: BucketView;
  readonly #journalMax: number;
  readonly #durable: DurableWait;
  readonly #ack: Pick<AckMode, "waits">;
  readonly #admission: Admission;
  readonly #breather: Breather;
  readonly #observe: GrabObserver | undefined;
  #fields: string[] = [];
  #listeners: GrabListener[] = [];
  /** Since when each of them waits. */
  #sinceMs: number[] = [];
  readonly #calls = new Set<Call>();
  #scheduled = false;
  #turnMs = 0;
  /** The newest stock number known, the one that was seen empty last, and what is told while the two are equal. */
  #stock = 0;
  #emptyStock = -1;
  #emptyWord: "ended" | "busy" = "ended";
  #key = "";

  constructor(round: PackRound, parts: LaneParts) {
    this.#round = round.id;
    this.perUser = round.perUser;
    this.#store = parts.store;
    this.#view = parts.view;
    this.#journalMax = parts.journalMax;
    this.#durable = parts.durable;
    this.#ack = parts.ack;
    this.#admission = parts.admission;
    this.#breather = parts.breather;
    this.#observe = parts.observe;
  }

  setGate(size: () => number): void {
    const ask = (field: string, listener: GrabListener): void => this.wait(field, listener);
    // A Redis that does not answer would keep those who wait, a few at a time.
    const known = (): Known | null => (this.#view.trust === "ok" ? this.known() : { word: "busy", stock: 0 });
    this.gate = new OrderGate({ size, known, ask });
  }

  /** Before the opening there is no key, and from then on everybody is told it: its letters need no constant time. */
  keyFits(key: string): boolean {
    this.#key = this.#view.round(this.#round)?.key ?? "";
    return key !== "" && key === this.#key;
  }

  /** What needs no Redis: the round has closed, or its stock is empty, for good or so that some may come yet. */
  known(): Known | null {
    const stock = this.#stock;
    if (this.#emptyStock === stock)
      return { word: this.#emptyWord, stock: this.#emptyWord === "ended" ? stock : 0 };
    const closesAtMs = this.#view.round(this.#round)?.closesAtMs ?? null;
    const isClosed = closesAtMs !== null && this.#view.nowMs() > closesAtMs + 1000;
    return isClosed ? { word: "ended", stock } : null;
  }

  learn(stock: number, isOut: boolean): void {
    if (stock < this.#stock) return;
    this.#stock = stock;
    if (isOut) this.#sawEmpty(stock, "ended");
  }

  /** Stock that comes has another number; whether some can come is known to the conductor, and to all after two seconds. */
  #sawEmpty(stock: number, word: "ended" | "busy"): void {
    if (stock !== this.#stock) return;
    if (this.#emptyStock !== stock || word === "ended") this.#emptyWord = word;
    this.#emptyStock = stock;
    this.gate?.look();
  }

  wait(field: string, listener: GrabListener): void {
    if (!this.#admission.enter()) return listener(this.#admission.word, 0, 0);
    this.#schedule();
    this.#fields.push(field);
    this.#listeners.push(listener);
    this.#sinceMs.push(this.#turnMs);
    this.#breather.came();
  }

  /** At the end of a turn of the event loop everything that arrived together is here. */
  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#turnMs = this.#admission.arrivalMs();
    setImmediate(this.#send);
  }

  readonly #send = (): void => {
    this.#scheduled = false;
    if (this.#listeners.length === 0) return;
    const nowMs = performance.now();
    this.#shed(nowMs, this.#admission.policy.insideMin);
    while (this.#listeners.length > 0 && this.#mayCall(nowMs)) {
      const queueMs = nowMs - this.#sinceMs[0]!;
      const fields = this.#fields.splice(0, grabPolicy.batchMax);
      const listeners = this.#listeners.splice(0, grabPolicy.batchMax);
      this.#sinceMs.splice(0, grabPolicy.batchMax);
      this.#admission.sent(fields.length, queueMs);
      const call: Call = { listeners, beganMs: nowMs };
      this.#calls.add(call);
      void this.#call(fields, call).finally(() => this.#called(call));
    }
  };

  #mayCall(nowMs: number): boolean {
    const underWay = this.#calls.size;
    if (underWay === 0) return true;
    const isWorthIt =
      this.#listeners.length >= grabPolicy.batchEager ||
      nowMs - this.#sinceMs[0]! >= this.#admission.policy.eagerMs;
    return isWorthIt && underWay < grabPolicy.callsUnderWayMax;
  }

  #called(call: Call): void {
    this.#calls.delete(call);
    // Behind the doors, which write this turn's answers; then those who came meanwhile and those who wait go together.
    setImmediate(() => {
      this.#breather.rest();
      this.#schedule();
    });
  }

  /** What no event would bring about: calls that take too long, and requests that wait behind them. */
  tick(nowMs: number): void {
    if (this.#calls.size === 0) return;
    const { callMsMax, eagerMs } = this.#admission.policy;
    for (const call of this.#calls) {
      if (nowMs - call.beganMs < callMsMax || call.listeners === NOBODY) continue;
      this.#view.callFailed(new Error(`Redis has not answered for ${callMsMax} ms`));
      this.#refuse(this.#giveUp(call), "busy");
    }
    this.#shed(nowMs, 0);
    if (this.#listeners.length > 0 && nowMs - this.#sinceMs[0]! >= eagerMs) this.#schedule();
  }

  /** Lets those go who have waited too long, but for the last few. */
  #shed(nowMs: number, keep: number): void {
    const oldestMs = nowMs - this.#admission.policy.ageMsMax;
    const most = this.#listeners.length - keep;
    let count = 0;
    while (count < most && this.#sinceMs[count]! < oldestMs) count += 1;
    if (count === 0) return;
    this.#fields.splice(0, count);
    this.#sinceMs.splice(0, count);
    this.#refuse(this.#listeners.splice(0, count), this.#admission.word);
  }

  #refuse(listeners: readonly GrabListener[], word: AnswerWord): void {
    this.#admission.leave(listeners.length);
    for (const listener of listeners) listener(word, 0, 0);
  }

  /** Takes the listeners of a call: whoever has them answers them. */
  #giveUp(call: Call): GrabListener[] {
    const { listeners } = call;
    call.listeners = NOBODY;
    return listeners;
  }

  /** One script call. It never rejects, and answers each listener once. */
  async #call(fields: string[], call: Call): Promise<void> {
    const { beganMs } = call;
    // As it is now: a change of the switch counts for the calls after it.
    const durable = this.#ack.waits ? this.#durable : null;
    let reply: GrabReply;
    try {
      // Who waited in the lane came before the doubt.
      if (this.#view.trust !== "ok") throw new Error("this bucket's Redis is in doubt");
      if (durable !== null && !durable.isFlowing()) throw new Error("MySQL does not commit");
      reply = await this.#store.grab(this.#round, {
        key: this.#key,
        journalMax: this.#journalMax,
        epoch: this.#view.epoch,
        seq: this.#view.seq,
        durable: durable !== null,
        fields,
      });
      this.#view.sawSeq(reply.seq);
      this.#ended(fields.length, performance.now() - beganMs, true);
    } catch (error) {
      // The outcome is unknown, and need not be known: whoever asks again gets the same prize from the script.
      if (durable?.isFlowing() !== false) this.#view.callFailed(error);
      this.#ended(fields.length, performance.now() - beganMs, false);
      return this.#refuse(this.#giveUp(call), "busy");
    }
    const listeners = this.#giveUp(call);
    if (durable === null || reply.journalEnd === "") return this.#answer(reply, listeners);
    // The lane goes on at once; only these listeners wait for the commit.
    durable.wait(reply.journalEnd, (committed) => {
      if (committed) this.#answer(reply, listeners);
      else this.#refuse(listeners, "busy");
    });
  }

  #ended(count: number, callMs: number, ok: boolean): void {
    this.#admission.called(count, callMs);
    this.#observe?.batch(count, callMs, ok);
  }

  #answer({ stock, answers }: GrabReply, listeners: GrabListener[]): void {
    this.#admission.leave(listeners.length);
    if (stock > this.#stock) this.#stock = stock;
    for (let i = 0; i < listeners.length; i += 1) {
      const listener = listeners[i]!;
      const code = answers[i]!;
      if (code > 0) listener("won", code, 0);
      else if (code === 0) {
        this.#sawEmpty(stock, "ended");
        listener("ended", 0, stock);
      } else if (code === -5) {
        this.#sawEmpty(stock, "busy");
        listener("busy", 0, 0);
      } else if (code === -3) listener("ended", 0, stock);
      else listener(refusals[code] ?? "busy", 0, 0);
    }
  }
}

/** lua/grab.lua's codes for those who got nothing, but for those of an empty stock and of a round that has closed. */
const refusals: Readonly<Record<number, AnswerWord>> = {
  [-1]: "busy",
  [-2]: "not_open",
  [-4]: "bad_request",
};
