/**
 * The model. Time goes in steps of a millisecond. Every person is simulated alone: when they press, in which bucket's line they stand,
 * what they were told and when they ask again. What is summed up is only what does not tell people apart: how many a
 * front or a bucket serves within a step.
 *
 *   line of a moment ──> front (HAProxy) ──> line of a bucket ──> its stock ──> told: done, or a later moment
 *                           └─ ended, busy ──────────────────────────────────────────^
 */
import { randomFrom, seedOf, type Random } from "../../chaos/random.ts";
import { peoplePolicy, retryMs } from "../../src/rehearse/page-policy.ts";
import { firstPresses, type Crowd } from "./crowd.ts";
import { Conductor, type Books } from "./lending.ts";
import { Lines } from "./lines.ts";
import { closedLoop, productPolicy, type Scenario } from "./scenario.ts";
import { BIN_MS, Tally, type Word } from "./tally.ts";

export const STEP_MS = 1;
/** What somebody asks for next, when it is not the first time: 0 is a grab. */
const ONCE_MORE = 1;
const RESULT = 2;
/** Buckets of one machine take turns of so many. */
const TURN = 16;
const NOBODY = -1;

export interface Outcome {
  scenario: Scenario;
  comers: number;
  tally: Tally;
  issued: number[];
  left: number[];
  /** Out of one bucket and not in another when the model ended. */
  underWay: number;
  /** When the last who waited was told; the model's bound when `finished` is false. */
  endedAtMs: number;
  finished: boolean;
  firstPressMs: number;
  lastWinMs: number | null;
  /** People with at least one prize, and the most that one got. */
  winners: number;
  mostOfOne: number;
  loans: number;
  moved: number;
}

export function simulate(scenario: Scenario, crowd: Crowd): Outcome {
  return new Engine(scenario, crowd).run();
}

class Engine {
  readonly #scenario: Scenario;
  readonly #bucketOf: Uint16Array;
  readonly #random: Random;
  readonly #tally: Tally;
  readonly #conductor: Conductor;
  readonly #books: Books;
  readonly #moments: Lines;
  readonly #front: Lines;
  readonly #lines: Lines;
  readonly #sentStep: Int32Array;
  readonly #asks: Uint8Array;
  /** Prizes that each has, and that each was told of. */
  readonly #has: Uint8Array;
  readonly #told: Uint8Array;
  readonly #attempts: Uint8Array;
  readonly #rounds: Uint8Array;
  readonly #steps: number;
  readonly #lineMax: number;
  /** Requests that a bucket serves in a step, and what is left of that; CPU microseconds likewise. */
  readonly #perStep: number;
  readonly #credit: Float64Array;
  #frontUs = 0;
  #machineUs = 0;
  readonly #journal: Float64Array;
  #step = 0;
  #active: number;
  #onTheirWay = 0;
  #isOver = false;
  /** Of a closed loop: passes over everybody so far, when this one began, and how many were told, and told `busy`, in it. */
  #passes = 1;
  #passBeganStep = 0;
  #passBusy = 0;
  #passTold = 0;
  #firstPressMs = Infinity;
  #lastWinMs = -1;

  constructor(scenario: Scenario, { bucketOf }: Crowd) {
    const { plant, stock, seed } = scenario;
    const [people, buckets] = [bucketOf.length, scenario.buckets.length];
    this.#scenario = scenario;
    this.#bucketOf = bucketOf;
    this.#random = randomFrom(seedOf(seed, "people"));
    this.#tally = new Tally(buckets);
    this.#books = {
      left: Float64Array.from(stock),
      issued: new Float64Array(buckets),
      dryAtMs: new Float64Array(buckets).fill(-1),
      final: new Uint8Array(buckets),
      down: new Uint8Array(buckets),
    };
    this.#conductor = new Conductor(scenario, this.#books, randomFrom(seedOf(seed, "conductor")));
    this.#steps = Math.ceil((scenario.secondsMax * 1000) / STEP_MS);
    const link = { next: new Int32Array(people) };
    this.#moments = new Lines(link, this.#steps);
    this.#front = new Lines(link, 1);
    this.#lines = new Lines(link, buckets);
    this.#sentStep = new Int32Array(people);
    this.#asks = new Uint8Array(people);
    this.#has = new Uint8Array(people);
    this.#told = new Uint8Array(people);
    this.#attempts = new Uint8Array(people);
    this.#rounds = new Uint8Array(people);
    this.#credit = new Float64Array(buckets);
    this.#journal = new Float64Array(buckets);
    this.#active = people;
    const { services, costs, machineCores } = plant;
    const perMs =
      machineCores === null
        ? 1000 / Math.max(costs.serviceUs / services, costs.redisUs)
        : (machineCores * 1000) / costs.machineWonUs;
    this.#perStep = machineCores === null ? perMs * STEP_MS : Infinity;
    const { ageMs, insideMin, requestsPerServiceMax } = productPolicy;
    this.#lineMax = Math.min(requestsPerServiceMax * services, Math.max(insideMin * services, perMs * ageMs));
    const presses = firstPresses(people, scenario.press, STEP_MS, seed);
    for (let person = 0; person < people; person += 1) this.#moments.push(presses[person]!, person);
  }

  run(): Outcome {
    const binSteps = BIN_MS / STEP_MS;
    for (; this.#step < this.#steps && this.#active > 0; this.#step += 1) {
      const nowMs = this.#step * STEP_MS;
      if (this.#step % binSteps === 0) this.#lookAround(nowMs);
      this.#arrive();
      this.#serve();
      this.#conductor.step(nowMs);
      if (this.#scenario.plant.connections !== null) this.#endPass();
      if ((this.#step + 1) % binSteps === 0) this.#tally.closeBin(this.#books.left);
    }
    this.#tally.closeBin(this.#books.left);
    return this.#outcome();
  }

  /** Ten times a second: what is lost or back, and whether all is over. */
  #lookAround(nowMs: number): void {
    const { down } = this.#books;
    down.fill(0);
    for (const { buckets, fromMs, forMs } of this.#scenario.losses) {
      if (nowMs >= fromMs && nowMs < fromMs + forMs) for (const bucket of buckets) down[bucket] = 1;
    }
    this.#isOver = down.every((_, bucket) => this.#hasEnded(bucket, nowMs));
  }

  /** An empty stock that stays so, as services and HAProxy remember it. */
  #hasEnded(bucket: number, nowMs: number): boolean {
    const { left, final, dryAtMs } = this.#books;
    if (left[bucket]! > 0) return false;
    return final[bucket] === 1 || (dryAtMs[bucket]! >= 0 && nowMs - dryAtMs[bucket]! >= productPolicy.dryMs);
  }

  #arrive(): void {
    for (let person = this.#moments.shift(this.#step); person !== NOBODY;) {
      this.#sentStep[person] = this.#step;
      this.#tally.arrived(this.#bucketOf[person]!);
      this.#front.push(0, person);
      person = this.#moments.shift(this.#step);
    }
    if (this.#front.length[0]! > 0 && this.#firstPressMs === Infinity)
      this.#firstPressMs = this.#step * STEP_MS;
  }

  #serve(): void {
    const { machineCores, frontCores, zones } = this.#scenario.plant;
    const zonesLost = new Set(
      this.#scenario.losses.filter((loss) => this.#isNow(loss)).map((loss) => loss.zone),
    );
    zonesLost.delete(null);
    const frontLeft = (zones - zonesLost.size) / zones;
    // What was not used is gone; what was used too much is owed.
    this.#frontUs =
      frontCores === null ? Infinity : Math.min(this.#frontUs, 0) + frontCores * frontLeft * 1000 * STEP_MS;
    this.#machineUs =
      machineCores === null ? Infinity : Math.min(this.#machineUs, 0) + machineCores * 1000 * STEP_MS;
    this.#refill();
    let moves: number;
    do {
      moves = this.#serveFront();
      for (let bucket = 0; bucket < this.#books.left.length; bucket += 1) {
        if (this.#lines.length[bucket]! > 0) moves += this.#serveBucket(bucket);
      }
      // One machine does it all, so whoever was let in a moment ago may be served in the same step.
    } while (machineCores !== null && moves > 0 && this.#machineUs > 0);
  }

  #isNow({ fromMs, forMs }: Scenario["losses"][number]): boolean {
    const nowMs = this.#step * STEP_MS;
    return nowMs >= fromMs && nowMs < fromMs + forMs;
  }

  #refill(): void {
    const persisted = (this.#scenario.plant.costs.persistPerSecond * STEP_MS) / 1000;
    for (let bucket = 0; bucket < this.#credit.length; bucket += 1) {
      this.#credit[bucket] = Math.min(this.#credit[bucket]!, 1) + this.#perStep;
      if (this.#journal[bucket]! > 0) this.#journal[bucket] = Math.max(0, this.#journal[bucket]! - persisted);
    }
  }

  #serveFront(): number {
    const { connections } = this.#scenario.plant;
    let moves = 0;
    while (this.#frontUs > 0 && this.#machineUs > 0 && this.#onTheirWay < (connections ?? Infinity)) {
      const person = this.#front.shift(0);
      if (person === NOBODY) break;
      moves += 1;
      this.#route(person);
    }
    return moves;
  }

  /** What HAProxy does with a request. */
  #route(person: number): void {
    const { costs } = this.#scenario.plant;
    const bucket = this.#bucketOf[person]!;
    const nowMs = this.#step * STEP_MS;
    if (this.#asks[person] !== RESULT && this.#isOver) {
      this.#payFront(costs.frontOverUs, costs.machineOverUs);
      return this.#tell(person, "ended");
    }
    const isDown = this.#books.down[bucket] === 1;
    if (this.#asks[person] !== RESULT && !isDown && this.#hasEnded(bucket, nowMs)) {
      this.#payFront(costs.frontOwnUs, costs.machineOwnUs);
      return this.#tell(person, "ended");
    }
    if (isDown || this.#lines.length[bucket]! >= this.#lineMax) {
      this.#payFront(costs.frontOwnUs, costs.machineOwnUs);
      return this.#tell(person, "busy");
    }
    this.#payFront(costs.frontPassedUs, 0);
    this.#onTheirWay += 1;
    this.#lines.push(bucket, person);
  }

  #payFront(frontUs: number, machineUs: number): void {
    this.#frontUs -= frontUs;
    this.#machineUs -= machineUs;
    this.#tally.front(frontUs);
  }

  #serveBucket(bucket: number): number {
    const isDown = this.#books.down[bucket] === 1;
    const turn = this.#perStep === Infinity ? TURN : Infinity;
    let served = 0;
    while (served < turn && this.#credit[bucket]! >= 1 && this.#machineUs > 0) {
      const person = this.#lines.shift(bucket);
      if (person === NOBODY) break;
      served += 1;
      this.#credit[bucket]! -= 1;
      this.#onTheirWay -= 1;
      const word = isDown ? "busy" : this.#ask(person, bucket);
      const { machineWonUs, machinePassedUs } = this.#scenario.plant.costs;
      this.#machineUs -= word === "won" ? machineWonUs : machinePassedUs;
      this.#tell(person, word);
    }
    return served;
  }

  /** The bucket's answer, as lua/grab.lua gives it. */
  #ask(person: number, bucket: number): Word {
    const { left, issued, dryAtMs } = this.#books;
    const nowMs = this.#step * STEP_MS;
    if (this.#asks[person] === RESULT) return "result";
    // Known: asked for once more, or the first answer came too late.
    if (this.#asks[person] === ONCE_MORE || this.#has[person]! > this.#told[person]!) return "repeat";
    if (this.#journal[bucket]! >= this.#scenario.plant.journalMax) return "busy";
    if (left[bucket] === 0) {
      if (this.#hasEnded(bucket, nowMs)) return "ended";
      if (dryAtMs[bucket]! < 0) dryAtMs[bucket] = nowMs;
      return "busy";
    }
    left[bucket]! -= 1;
    issued[bucket]! += 1;
    this.#journal[bucket]! += 1;
    this.#has[person]! += 1;
    this.#lastWinMs = nowMs;
    const waitedMs = (this.#step - this.#sentStep[person]!) * STEP_MS + this.#scenario.plant.latencyMs;
    this.#tally.won(bucket, nowMs, waitedMs);
    return "won";
  }

  /** What a person does with an answer. */
  #tell(person: number, word: Word): void {
    const { press, perUser, plant } = this.#scenario;
    const waitedMs = (this.#step - this.#sentStep[person]!) * STEP_MS;
    if (plant.connections !== null) return this.#tellLoop(person, word);
    const isLate = waitedMs + plant.latencyMs > peoplePolicy.timeoutMs;
    this.#tally.answer(isLate ? "late" : word);
    if (isLate || word === "busy") return this.#askAgain(person);
    switch (word) {
      case "won":
      case "repeat": {
        this.#told[person] = this.#has[person]!;
        if (this.#asks[person] === ONCE_MORE) return this.#done();
        this.#attempts[person] = 0;
        const { thinkMsMin, thinkMsSpan, onceMoreMs } = peoplePolicy;
        if (this.#has[person]! < perUser) return this.#later(person, this.#between(thinkMsMin, thinkMsSpan));
        if (press.againShare === 0 || this.#random() >= press.againShare) return this.#done();
        this.#asks[person] = ONCE_MORE;
        return this.#later(person, this.#between(0, onceMoreMs));
      }
      case "ended": {
        if (!press.checksResult) return this.#done();
        const { resultMsMin, resultMsSpan } = peoplePolicy;
        this.#asks[person] = RESULT;
        this.#attempts[person] = 0;
        return this.#later(person, this.#between(resultMsMin, resultMsSpan));
      }
      default:
        return this.#done();
    }
  }

  /** Who is told in a closed loop waits for the pass to end; their connection is the next one's. */
  #tellLoop(person: number, word: Word): void {
    this.#tally.answer(word);
    this.#passTold += 1;
    if (word === "busy") this.#passBusy += 1;
    this.#told[person] = this.#has[person]!;
  }

  #askAgain(person: number): void {
    const { attemptsMax, againMsMin, againMsSpan, roundsOfAskingMax } = peoplePolicy;
    const attempt = this.#attempts[person]!;
    if (attempt < attemptsMax) {
      this.#attempts[person] = attempt + 1;
      return this.#later(person, retryMs(attempt, this.#random()));
    }
    this.#attempts[person] = 0;
    this.#rounds[person]! += 1;
    if (this.#rounds[person]! < roundsOfAskingMax)
      return this.#later(person, this.#between(againMsMin, againMsSpan));
    this.#tally.gaveUp += 1;
    this.#done();
  }

  /** wrk does not know whom it told what, so while somebody was told `busy` it asks everybody once more. */
  #endPass(): void {
    if (this.#passTold < this.#told.length) return;
    if (this.#passBusy === 0 || this.#passes === closedLoop.passesMax) {
      this.#tally.gaveUp += this.#passBusy;
      this.#active = 0;
      return;
    }
    const nextStep = Math.max(this.#step + 1, this.#passBeganStep + closedLoop.passMsMin / STEP_MS);
    this.#passes += 1;
    this.#passBeganStep = nextStep;
    [this.#passBusy, this.#passTold] = [0, 0];
    for (let person = 0; person < this.#told.length && nextStep < this.#steps; person += 1) {
      this.#asks[person] = this.#told[person] === 0 ? 0 : ONCE_MORE;
      this.#moments.push(nextStep, person);
    }
  }

  #between(minMs: number, spanMs: number): number {
    return minMs + this.#random() * spanMs;
  }

  /** Back in line after a while; who would come after the end of the model's time stays active, so that it is told. */
  #later(person: number, afterMs: number): void {
    const step = this.#step + Math.max(1, Math.round((afterMs + this.#scenario.plant.latencyMs) / STEP_MS));
    if (step < this.#steps) this.#moments.push(step, person);
  }

  #done(): void {
    this.#active -= 1;
  }

  #outcome(): Outcome {
    const { left, issued } = this.#books;
    const [winners, most, won] = this.#countWinners();
    const sum = (list: Float64Array): number => list.reduce((all, each) => all + each, 0);
    const generated = this.#scenario.stock.reduce((all, each) => all + each, 0);
    const { underWay } = this.#conductor;
    // A model that loses a prize says nothing about anything.
    if (sum(issued) + sum(left) + underWay !== generated || won !== sum(issued))
      throw new Error(
        `simulate: ${generated} prizes became ${sum(issued)} issued, ${sum(left)} left, ${underWay} under way and ${won} won`,
      );
    return {
      scenario: this.#scenario,
      comers: this.#bucketOf.length,
      tally: this.#tally,
      issued: [...issued],
      left: [...left],
      underWay,
      endedAtMs: this.#step * STEP_MS,
      finished: this.#active === 0,
      firstPressMs: this.#firstPressMs,
      lastWinMs: this.#lastWinMs < 0 ? null : this.#lastWinMs,
      winners,
      mostOfOne: most,
      loans: this.#conductor.loans,
      moved: this.#conductor.moved,
    };
  }

  #countWinners(): [winners: number, most: number, won: number] {
    let [winners, most, won] = [0, 0, 0];
    for (const count of this.#has) {
      if (count > 0) winners += 1;
      if (count > most) most = count;
      won += count;
    }
    return [winners, most, won];
  }
}
