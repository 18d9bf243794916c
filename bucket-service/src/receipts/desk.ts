import type { Pack } from "@hongbao/preprocess";
import { ReceiptReader } from "./receipt.ts";
import { finishRestores, restoreWins, type RestoreParts } from "./restore.ts";

export interface ReceiptAnswer {
  receipt: string;
  result: "restored" | "known" | "refused";
  why?: string;
}

/** Receipts in one call; 64 KiB hold a few more. */
export const RECEIPTS_MAX = 400;
/** How often what a crash has left between two steps is looked for. */
const SWEEP_MS = 5000;

/** Takes receipts of one bucket, from users and from operators, and says of each what came of it. */
export class ReceiptDesk {
  readonly #parts: RestoreParts & { pack: Pack; bucket: string };
  readonly #reader: ReceiptReader;
  #sweeper: NodeJS.Timeout | null = null;

  constructor(parts: RestoreParts & { pack: Pack; bucket: string; secrets: readonly string[] }) {
    this.#parts = parts;
    this.#reader = new ReceiptReader(parts.pack.manifest.event.id, parts.secrets);
  }

  /**
   * @param user whose receipts these must be; null for an operator.
   * Errors: those of MySQL and Redis; asking again is safe.
   */
  async take(receipts: readonly string[], user: string | null): Promise<ReceiptAnswer[]> {
    const { pack, bucket } = this.#parts;
    const answers = receipts.map((receipt): ReceiptAnswer => ({ receipt, result: "refused" }));
    const refuse = (index: number, why: string): void => void (answers[index]!.why = why);
    const wins: (Parameters<typeof restoreWins>[1][number] & { index: number })[] = [];
    for (const [index, receipt] of receipts.entries()) {
      const read = this.#reader.read(receipt);
      if (!read.ok) refuse(index, read.why);
      else if (user !== null && read.user !== user) refuse(index, "it is another user's");
      else if (read.bucket !== bucket) refuse(index, `it is of bucket ${read.bucket}`);
      else if (!pack.holds(read.prizeId)) refuse(index, "the event has no such prize");
      else {
        const { prizeId, round, n } = read;
        const amountMinor = pack.amountOf(prizeId);
        wins.push({ prizeId, round, user: read.user, n, amountMinor, claimedAtMs: Date.now(), index });
      }
    }
    const restored = await restoreWins(this.#parts, wins);
    for (const [at, { index }] of wins.entries())
      answers[index] = { receipt: receipts[index]!, ...restored[at]! };
    return answers;
  }

  /** Finishes what was broken off, now and then, until stop(). */
  start(onFinished: (wins: number) => void): void {
    const { pack } = this.#parts;
    let running = false;
    this.#sweeper = setInterval(() => {
      if (running) return;
      running = true;
      finishRestores({ ...this.#parts, amountOf: (id) => pack.amountOf(id) })
        .then((wins) => wins > 0 && onFinished(wins))
        // A store that is away is asked again at the next turn.
        .catch(() => undefined)
        .finally(() => (running = false));
    }, SWEEP_MS);
    this.#sweeper.unref();
  }

  stop(): void {
    if (this.#sweeper !== null) clearInterval(this.#sweeper);
  }
}
