/** A bucket's MySQL in memory. Each method is one transaction: it happens whole, or (thrown) not at all. */
import type { MoveNote } from "../../../bucket-service/src/moves/note.ts";
import type { Run } from "../../../bucket-service/src/moves/runs.ts";
import type { BucketMeta } from "../../../bucket-service/src/mysql/bucket-record.ts";
import type { DueRow, OpenClaim } from "../../../bucket-service/src/mysql/payouts.ts";
import { decide, Careful } from "../../../bucket-service/src/payout/decide.ts";
import { Guard, Remaining, type MovedRun, type Sum } from "../../../bucket-service/src/payout/guard.ts";
import {
  builtInLedger,
  payoutKey,
  type PayoutOrder,
  type PayoutTarget,
} from "../../../bucket-service/src/payout/target.ts";
import { planBurn } from "../../../bucket-service/src/rebuild/burn-plan.ts";
import { judgeWin, type LostWin, type WinVerdict } from "../../../bucket-service/src/receipts/judge.ts";
import { UserRules } from "../../../bucket-service/src/users/rules.ts";
import type { Pack } from "@hongbao/preprocess";
import type { Bug } from "./bugs.ts";

export type ModelPack = Pick<Pack, "amountOf" | "holds" | "manifest">;

interface PayoutRowModel extends DueRow {
  state: "pending" | "paid" | "dead" | "held";
  lease: string | null;
  nextAtMs: number;
}

export const EVENT = "sim";
const LEASE_MS = 400;
const OUTSIDE: PayoutTarget = {
  kind: "outside",
  name: "wallet",
  send: async () => ({ kind: "paid" }),
  confirm: async () => ({ kind: "paid" }),
};

export class MysqlModel {
  up = true;
  meta: BucketMeta = {
    epoch: "e1",
    pack: "p",
    complete: true,
    fence: null,
    rebuilding: null,
    seen: 0,
    generation: 1,
  };
  versions = new Map<
    number,
    { v: number; opensAtMs: number | null; closesAtMs: number | null; opened: boolean }
  >();
  ranges = new Map<number, Run[]>();
  claims = new Map<number, OpenClaim & { atMs: number }>();
  readonly places = new Map<string, number>();
  moves = new Map<string, MoveNote>();
  burned = new Map<number, { round: number; state: "burned" | "restored" }>();
  conflicts = 0;
  feed: number[] = [];
  payouts = new Map<number, PayoutRowModel>();
  totals = new Map<number, Sum>();
  ledger: { prize: number; user: string; amount: number }[] = [];
  readonly bucket: string;
  readonly #pack: ModelPack;
  readonly #bugs: ReadonlySet<Bug>;
  readonly #rules = new UserRules();
  readonly #target: PayoutTarget;

  constructor(bucket: string, pack: ModelPack, bugs: ReadonlySet<Bug>, pays: "inside" | "outside") {
    this.bucket = bucket;
    this.#pack = pack;
    this.#bugs = bugs;
    this.#target = pays === "inside" ? builtInLedger : OUTSIDE;
    for (const { id } of pack.manifest.rounds) this.totals.set(id, { count: 0, amountMinor: 0 });
  }

  /** persist's transaction. `otherEpoch`: a rebuild has judged these claims lost. */
  insertClaims(rows: readonly (OpenClaim & { atMs: number })[], epoch: string): "done" | "otherEpoch" {
    if (this.meta.epoch !== epoch) return "otherEpoch";
    for (const row of rows) {
      const place = `${row.round} ${row.user} ${row.n}`;
      const byPrize = this.claims.get(row.prizeId);
      const byPlace = this.places.get(place);
      if (byPrize === undefined && byPlace === undefined) {
        this.claims.set(row.prizeId, row);
        this.places.set(place, row.prizeId);
      } else if (
        byPrize === undefined ||
        byPrize.user !== row.user ||
        byPrize.round !== row.round ||
        byPrize.n !== row.n
      ) {
        this.conflicts += 1;
      }
    }
    this.feed.push(...rows.map(({ prizeId }) => prizeId));
    return "done";
  }

  fence(epoch: string, why: string): void {
    if (this.meta.epoch === epoch) this.meta.fence ??= why;
  }

  saw(epoch: string, seq: number): void {
    if (this.meta.epoch === epoch) this.meta.seen = Math.max(this.meta.seen, seq);
  }

  recordRound(
    round: number,
    record: { v: number; opensAtMs: number | null; closesAtMs: number | null; opened: boolean },
  ): void {
    const known = this.versions.get(round);
    if (known === undefined || record.v >= known.v)
      this.versions.set(round, { ...record, opened: record.opened || known?.opened === true });
  }

  /** recordOut: null when the bucket is of another epoch. */
  recordOut(epoch: string, out: MoveNote, alsoIn: MoveNote | null): MoveNote | null {
    const recorded = this.moves.get(`${out.id}/out`);
    if (recorded !== undefined) return recorded;
    if (this.meta.epoch !== epoch) return null;
    for (const run of out.runs) this.#cut(out.round, run);
    this.moves.set(`${out.id}/out`, out);
    if (alsoIn !== null) this.#addIn(alsoIn);
    return out;
  }

  /** recordIn: the epoch that the IDs belong to now. */
  recordIn(note: MoveNote): string {
    if (!this.moves.has(`${note.id}/in`)) this.#addIn(note);
    return this.meta.epoch;
  }

  /** Moves whose ranges stand as they came, in the order of the ranges. */
  recordedIns(round: number): MoveNote[] {
    const ins = [...this.moves.values()].filter(
      ({ direction, round: of }) => direction === "in" && of === round,
    );
    const ordinals = new Map((this.ranges.get(round) ?? []).map(({ lo }, ordinal) => [lo, ordinal]));
    return ins
      .map((note) => ({ ...note, runs: note.runs.filter(({ lo }) => ordinals.has(lo)) }))
      .filter(({ runs }) => runs.length > 0)
      .sort((a, b) => ordinals.get(a.runs[0]!.lo)! - ordinals.get(b.runs[0]!.lo)!);
  }

  #addIn(note: MoveNote): void {
    this.moves.set(`${note.id}/in`, note);
    const ranges = this.ranges.get(note.round) ?? [];
    this.ranges.set(note.round, ranges);
    ranges.push(...note.runs.map((run) => ({ ...run })));
  }

  #cut(round: number, { lo, count }: Run): void {
    const ranges = this.ranges.get(round) ?? [];
    const at = ranges.findIndex((range) => lo >= range.lo && lo + count <= range.lo + range.count);
    if (at < 0) throw new Error(`${this.bucket}: ${lo}:${count} is not among the ranges of round ${round}`);
    const range = ranges[at]!;
    const parts = [
      { lo: lo + count, count: range.lo + range.count - lo - count },
      { lo: range.lo, count: lo - range.lo },
    ];
    ranges.splice(at, 1, ...parts.filter((part) => part.count > 0));
  }

  /** decideBurn: a new epoch, and what may have been given is burned. False: it was decided before. */
  decideBurn(epoch: string, journalMax: number, maybeOpened: readonly number[], nowMs: number): boolean {
    if (this.meta.epoch !== epoch || this.meta.rebuilding !== null) return false;
    const bound = this.#bugs.has("a rebuild burns too little") ? journalMax - 1 : journalMax;
    for (const [round, ranges] of this.ranges) {
      const known = this.versions.get(round);
      const opened =
        known?.opened === true ||
        (known?.opensAtMs != null && known.opensAtMs <= nowMs) ||
        maybeOpened.includes(round);
      const plan = planBurn(
        ranges,
        (id) => this.claims.has(id) && this.claims.get(id)!.round === round,
        bound,
        opened,
      );
      for (const { lo, count } of [...plan.holes, ...plan.beyond])
        for (let id = lo; id < lo + count; id += 1) this.burned.set(id, { round, state: "burned" });
      this.ranges.set(
        round,
        plan.left.map((run) => ({ ...run })),
      );
    }
    const next = `e${this.meta.generation + 1}`;
    this.meta = {
      ...this.meta,
      epoch: next,
      rebuilding: next,
      generation: this.meta.generation + 1,
      fence: null,
      seen: 0,
    };
    return true;
  }

  judge(win: LostWin): WinVerdict | { verdict: "unburned" } {
    const burned = this.burned.get(win.prizeId);
    const seat = this.places.get(`${win.round} ${win.user} ${win.n}`);
    const claims = [this.claims.get(win.prizeId), seat === undefined ? undefined : this.claims.get(seat)];
    return judgeWin(win, {
      claims: claims.filter((claim) => claim !== undefined),
      burned: burned === undefined ? [] : [{ prizeId: win.prizeId, ...burned }],
    });
  }

  /** claimBurned: judged again under the epoch's lock, and written. */
  claimBurned(epoch: string, win: OpenClaim & { atMs: number }): WinVerdict | null {
    if (this.meta.epoch !== epoch) return null;
    const verdict = this.judge(win);
    if (verdict.verdict === "unburned") return { verdict: "refused", why: "not burned" };
    if (verdict.verdict !== "free") return verdict;
    this.insertClaims([win], epoch);
    this.burned.get(win.prizeId)!.state = "restored";
    return verdict;
  }

  /** payout's transaction: a claim from the feed is decided on by the real core; with a target inside it is paid at once. */
  payFeed(): void {
    const ids = this.feed.splice(0, 2);
    const isKnown = (id: number): boolean =>
      this.payouts.has(id) && !this.#bugs.has("a claim is paid without looking whether it was");
    const claims = [...new Set(ids)].flatMap((id) => (isKnown(id) ? [] : (this.claims.get(id) ?? [])));
    if (claims.length === 0) return;
    const guard = this.#guard();
    const careful = new Careful(new Remaining(guard, this.totals));
    const decisions = decide(claims, new Map(), careful, this.#parts(guard));
    for (const row of decisions.rows) {
      const { prizeId, round, attempts, amountMinor, granted } = row;
      const payout = {
        prizeId,
        round,
        attempts,
        amountMinor,
        granted,
        accepted: false,
        acceptedAgeSeconds: 0,
      };
      this.payouts.set(prizeId, { ...payout, state: row.state, lease: null, nextAtMs: 0 });
      if (granted) this.#grant(round, amountMinor);
    }
    for (const { prizeId, user, amountMinor } of decisions.inside)
      this.ledger.push({ prize: prizeId, user, amount: amountMinor });
  }

  /** What the sender takes up under a lease. */
  takeUp(lease: string, nowMs: number): PayoutOrder[] {
    const due = [...this.payouts.values()]
      .filter(({ state, nextAtMs }) => state === "pending" && nextAtMs <= nowMs)
      .slice(0, 2);
    const claims = due.flatMap(({ prizeId }) => this.claims.get(prizeId) ?? []);
    const guard = this.#guard();
    const decisions = decide(claims, new Map(due.map((row) => [row.prizeId, row])), null, this.#parts(guard));
    const going = decisions.rows.filter(({ state }) => state === "pending");
    return going.map(({ prizeId }) => {
      Object.assign(this.payouts.get(prizeId)!, { lease, nextAtMs: nowMs + LEASE_MS });
      return this.#orderOf(this.claims.get(prizeId)!);
    });
  }

  writeDown(lease: string, prizeId: number, paid: boolean, nowMs: number): void {
    const row = this.payouts.get(prizeId)!;
    if (paid) row.state = "paid";
    else if (row.state === "pending" && row.lease === lease) row.nextAtMs = nowMs + 50;
  }

  #orderOf = ({ prizeId, round, user, amountMinor }: OpenClaim): PayoutOrder => {
    return {
      key: payoutKey(EVENT, prizeId),
      event: EVENT,
      round,
      prizeId,
      user,
      currency: "CNY",
      amountMinor,
    };
  };

  #parts(guard: Guard): Parameters<typeof decide>[3] {
    return { guard, rules: this.#rules, targetOf: () => this.#target, orderOf: this.#orderOf };
  }

  #guard(): Guard {
    const moved = [...this.moves.values()].flatMap(({ direction, round, runs }) =>
      runs.map(({ lo, count }): MovedRun => {
        let amountMinor = 0;
        for (let id = lo; id < lo + count; id += 1) amountMinor += this.#pack.amountOf(id);
        return { direction, round, lo, count, amountMinor };
      }),
    );
    return new Guard(this.#pack, this.bucket, moved);
  }

  #grant(round: number, amountMinor: number): void {
    const sum = this.totals.get(round) ?? { count: 0, amountMinor: 0 };
    this.totals.set(round, { count: sum.count + 1, amountMinor: sum.amountMinor + amountMinor });
  }
}
