import type { Pack } from "@hongbao/preprocess";
import { HmacSha256 } from "@hongbao/preprocess";

/**
 * Everything that the public API can answer, and how HTTP says it. The one table that code, documents and tests are held
 * against. retryAfterSeconds stands in the header when it is given.
 */
export const answerTable = {
  won: { status: 200 },
  ended: { status: 200 },
  no_such_round: { status: 404 },
  not_found: { status: 404 },
  unauthorized: { status: 401, message: "a valid token is needed" },
  bad_request: { status: 400 },
  limited: { status: 429, retryAfterSeconds: 1 },
  not_eligible: { status: 403, message: "this round is not for this user" },
  not_open: { status: 403 },
  busy: { status: 503, retryAfterSeconds: 1 },
} as const satisfies Record<string, { status: number; retryAfterSeconds?: number; message?: string }>;

export type AnswerWord = keyof typeof answerTable;

/** One prize as the public API shows it. */
export type PrizeBody =
  | { id: string; kind: "envelope"; amount: number; currency: string; greeting: string }
  | {
      id: string;
      kind: "item";
      sku: string;
      title: { zh: string; en: string };
      price: number;
      currency: string;
    };

export interface WonBody {
  result: "won";
  round: number;
  n: number;
  prize: PrizeBody;
  receipt: string;
}

/** Who won what, where: the facts that a receipt vouches for. */
export interface ReceiptFacts {
  event: string;
  bucket: string;
  round: number;
  n: number;
  prizeId: number;
  user: string;
}

/** Length of a receipt's code: 128 bits of the HMAC, base64url. */
const RECEIPT_CODE_LENGTH = 22;

/** HMAC-SHA256 over the facts; the fields' alphabets are ASCII without a colon, so the text is unambiguous. */
export function receiptOf(facts: ReceiptFacts, mac: HmacSha256): string {
  const text = `${facts.bucket}:${facts.round}:${facts.n}:${facts.prizeId}:${facts.user}`;
  return `${text}:${mac.base64url(`${facts.event}:${text}`, RECEIPT_CODE_LENGTH)}`;
}

/** The texts of the pack that stand in won answers, as JSON, in one form. */
interface PackTexts {
  /** Text → how this form writes it. */
  encode: (text: string) => string;
  /** JSON text of an item round's prize after its ID, by round. */
  items: Map<number, string>;
  /** Greeting → its JSON text; greetings are a few hundred. */
  greetings: Map<string, string>;
}

/** Writes answer bodies from the pack in memory; no call, and for a grab no object, per answer. */
export class AnswerWriter {
  readonly #pack: Pack;
  readonly #bucket: string;
  readonly #receiptMac: HmacSha256;
  readonly #event: string;
  readonly #currency: string;
  readonly #text: PackTexts = { encode: (text) => text, items: new Map(), greetings: new Map() };
  readonly #bytes: PackTexts = {
    encode: (text) => Buffer.from(text).toString("latin1"),
    items: new Map(),
    greetings: new Map(),
  };

  constructor(pack: Pack, bucket: string, receiptSecret: string) {
    this.#pack = pack;
    this.#bucket = bucket;
    this.#receiptMac = new HmacSha256(receiptSecret);
    this.#event = pack.manifest.event.id;
    this.#currency = pack.manifest.event.currency;
    for (const round of pack.manifest.rounds) {
      if (round.kind !== "item" || round.item === undefined) continue;
      const { sku, title, priceMinor } = round.item;
      const rest = JSON.stringify({ kind: "item", sku, title, price: priceMinor, currency: this.#currency });
      for (const { encode, items } of [this.#text, this.#bytes]) items.set(round.id, encode(rest.slice(1)));
    }
  }

  /** The JSON text of a won answer. Its keys stand in the order of WonBody. */
  won(round: number, user: string, n: number, prizeId: number): string {
    return this.#won(this.#text, round, user, n, prizeId);
  }

  /**
   * The same as UTF-8 bytes, one a character ("latin1"): its length is its size, and it is written as it stands. All
   * but the pack's texts is ASCII, so only they are encoded, once.
   */
  wonBytes(round: number, user: string, n: number, prizeId: number): string {
    return this.#won(this.#bytes, round, user, n, prizeId);
  }

  #won(texts: PackTexts, round: number, user: string, n: number, prizeId: number): string {
    const facts = { event: this.#event, bucket: this.#bucket, round, n, prizeId, user };
    return (
      `{"result":"won","round":${round},"n":${n},"prize":${this.#prize(texts, round, prizeId)},` +
      `"receipt":"${receiptOf(facts, this.#receiptMac)}"}`
    );
  }

  #prize(texts: PackTexts, round: number, prizeId: number): string {
    const item = texts.items.get(round);
    if (item !== undefined) return `{"id":"${prizeId}",${item}`;
    const greeting = this.#greeting(texts, this.#pack.greetingOf(prizeId));
    return (
      `{"id":"${prizeId}","kind":"envelope","amount":${this.#pack.amountOf(prizeId)},` +
      `"currency":"${this.#currency}","greeting":${greeting}}`
    );
  }

  #greeting({ encode, greetings }: PackTexts, greeting: string): string {
    let text = greetings.get(greeting);
    if (text === undefined) greetings.set(greeting, (text = encode(JSON.stringify(greeting))));
    return text;
  }

  /** The JSON text of any answer that is not a win. */
  other(
    word: AnswerWord,
    details: { round?: number; message?: string; opensAtMs?: number | null } = {},
  ): string {
    const entry = answerTable[word];
    const message = details.message ?? ("message" in entry ? entry.message : undefined);
    return JSON.stringify({
      result: word,
      ...(details.round === undefined ? {} : { round: details.round }),
      ...(details.opensAtMs == null ? {} : { opensAt: new Date(details.opensAtMs).toISOString() }),
      ...(message === undefined ? {} : { message }),
    });
  }
}
