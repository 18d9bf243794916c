import type { AnswerWord, AnswerWriter } from "../grab/answers.ts";
import type { GrabAsk, GrabCore } from "../grab/grab-core.ts";
import type { RecentAttempts } from "../grab/recent.ts";

/** Who hears the answer of a grab: a door's request. */
export interface GrabTeller {
  /**
   * Called once.
   * @param body the JSON text as UTF-8 bytes, one a character ("latin1"): its length is its size.
   * @param stock the stock number that HAProxy may learn as empty, or 0.
   */
  tell(word: AnswerWord, body: string, stock: number): void;
}

type AnswerDetails = NonNullable<Parameters<AnswerWriter["other"]>[1]>;

export interface GrabDeskParts {
  core: Pick<GrabCore, "has" | "grab">;
  writer: Pick<AnswerWriter, "wonBytes" | "other">;
  /** When a round opens, ms since 1970, as far as the bucket knows. */
  opensAtMs: (round: number) => number | null;
  /** Remembers the answers of each user for a while. */
  recent?: RecentAttempts;
  onError?: (error: unknown, about?: { request?: string; round?: number }) => void;
}

/**
 * What both doors do with a grab once they have read it, so that they cannot differ: the checks that come before the core,
 * and the text of the answer.
 */
export class GrabDesk {
  readonly #parts: GrabDeskParts;
  readonly #recent: RecentAttempts | undefined;
  /** Texts of answers that are always the same, by round: IDs have two digits, so they are few. */
  readonly #texts: Partial<Record<AnswerWord, string[]>> = {};

  constructor(parts: GrabDeskParts) {
    this.#parts = parts;
    this.#recent = parts.recent;
  }

  /** @param ask its user is "" when nobody has proven to be one, its n NaN when it is not a whole number. */
  grab(ask: GrabAsk, teller: GrabTeller): void {
    const { core } = this.#parts;
    if (!core.has(ask.round)) return this.#refuse("no_such_round", ask, teller);
    if (ask.user === "") return this.#refuse("unauthorized", ask, teller);
    if (Number.isNaN(ask.n)) return this.#refuse("bad_request", ask, teller);
    core.grab(ask, (word, prizeId, stock) => {
      this.#recent?.note(ask.user, ask.round, ask.n, word);
      if (word === "won") this.#tellWin(ask, prizeId, teller);
      else teller.tell(word, this.#text(word, ask), stock);
    });
  }

  /** The answer of a door that cannot ask, or has asked for long enough. */
  busy(ask: GrabAsk): string {
    this.#recent?.note(ask.user, ask.round, ask.n, "busy");
    return this.#text("busy", ask);
  }

  #refuse(word: AnswerWord, ask: GrabAsk, teller: GrabTeller): void {
    teller.tell(word, this.#text(word, ask), 0);
  }

  /** One answer that cannot be written must not keep the rest of its batch from theirs; asking again finds the prize. */
  #tellWin(ask: GrabAsk, prizeId: number, teller: GrabTeller): void {
    let body: string;
    try {
      body = this.#parts.writer.wonBytes(ask.round, ask.user, ask.n, prizeId);
    } catch (error) {
      this.#parts.onError?.(error, { request: "grab", round: ask.round });
      return this.#refuse("busy", ask, teller);
    }
    teller.tell("won", body, 0);
  }

  #text(word: AnswerWord, { round, n }: GrabAsk): string {
    // These two say more than the word and the round, which have one text.
    if (word === "not_open" || word === "bad_request")
      return this.#write(word, this.#details(word, round, n));
    const texts = (this.#texts[word] ??= []);
    return (texts[round] ??= this.#write(word, { round }));
  }

  #write(word: AnswerWord, details: AnswerDetails): string {
    return Buffer.from(this.#parts.writer.other(word, details)).toString("latin1");
  }

  #details(word: "not_open" | "bad_request", round: number, n: number): AnswerDetails {
    if (word === "not_open") return { round, opensAtMs: this.#parts.opensAtMs(round) };
    const expected = Number.isNaN(n) ? "a whole number from 1" : "1 to perUser, with n - 1 won before";
    return { round, message: `n: expected ${expected}` };
  }
}
