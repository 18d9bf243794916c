import { timingSafeEqual } from "node:crypto";
import { receiptOf } from "../grab/answers.ts";
import { HmacSha256 } from "@hongbao/preprocess";
import type { LostWin } from "./judge.ts";

/** A receipt is a few fields of bounded length; this is more than any. */
export const RECEIPT_LENGTH_MAX = 256;

const FORM =
  /^([A-Za-z0-9._-]{1,64}):([1-9]\d?):([1-9]\d{0,9}):([1-9]\d{0,15}):([A-Za-z0-9._-]{1,64}):[A-Za-z0-9_-]{22}$/;

export type ReadReceipt = ({ ok: true; bucket: string } & LostWin) | { ok: false; why: string };

/** Reads receipts (receiptOf in grab/answers.ts is the writer) and checks their code against every key, current one first. */
export class ReceiptReader {
  readonly #event: string;
  readonly #macs: HmacSha256[];

  constructor(event: string, secrets: readonly string[]) {
    this.#event = event;
    this.#macs = secrets.map((secret) => new HmacSha256(secret));
  }

  read(receipt: string): ReadReceipt {
    const parts = receipt.length <= RECEIPT_LENGTH_MAX ? FORM.exec(receipt) : null;
    if (parts === null) return { ok: false, why: "it is no receipt" };
    const [, bucket = "", round, n, prize, user = ""] = parts;
    const facts = { bucket, round: Number(round), n: Number(n), prizeId: Number(prize), user };
    if (!Number.isSafeInteger(facts.prizeId)) return { ok: false, why: "it is no receipt" };
    const given = Buffer.from(receipt);
    const isOurs = this.#macs.some((mac) => {
      const expected = Buffer.from(receiptOf({ event: this.#event, ...facts }, mac));
      return expected.length === given.length && timingSafeEqual(expected, given);
    });
    return isOurs ? { ok: true, ...facts } : { ok: false, why: "its code is not ours" };
  }
}
