import type { AnswerWord } from "../../grab/answers.ts";
import type { GrabAsk } from "../../grab/grab-core.ts";
import type { GrabTeller } from "../grab-desk.ts";
import type { Connection } from "./connection.ts";

/** Who keeps the books of questions: the agent. */
export interface QuestionKeeper {
  answered(question: Question, word: AnswerWord, body: string, stock: number): void;
}

/** One grab that HAProxy asks about: the only object that the agent makes for it. */
export class Question implements GrabAsk, GrabTeller {
  round = -1;
  user = "";
  key = "";
  n = 1;
  /** HAProxy asks an agent first; the second pass goes to the HTTP door. */
  readonly secondPass = false;
  often = false;
  readonly connection: Connection;
  readonly streamId: number;
  readonly frameId: number;
  readonly askedAtMs: number;
  /** Neighbours while it waits in a QuestionQueue. */
  before: Question | null = null;
  after: Question | null = null;
  isQueued = false;
  readonly #keeper: QuestionKeeper;

  constructor(
    keeper: QuestionKeeper,
    connection: Connection,
    streamId: number,
    frameId: number,
    askedAtMs: number,
  ) {
    this.#keeper = keeper;
    this.connection = connection;
    this.streamId = streamId;
    this.frameId = frameId;
    this.askedAtMs = askedAtMs;
  }

  tell(word: AnswerWord, body: string, stock: number): void {
    this.#keeper.answered(this, word, body, stock);
  }
}

/**
 * The questions that nobody has answered yet, oldest first: all have the same time to be answered in, so the one whose time
 * is up stands at the head, and one timer serves all. Joining and leaving cost nothing that grows.
 */
export class QuestionQueue {
  #oldest: Question | null = null;
  #newest: Question | null = null;

  get oldest(): Question | null {
    return this.#oldest;
  }

  join(question: Question): void {
    question.isQueued = true;
    question.before = this.#newest;
    if (this.#newest === null) this.#oldest = question;
    else this.#newest.after = question;
    this.#newest = question;
  }

  leave(question: Question): void {
    const { before, after } = question;
    if (before === null) this.#oldest = after;
    else before.after = after;
    if (after === null) this.#newest = before;
    else after.before = before;
    question.before = null;
    question.after = null;
    question.isQueued = false;
  }
}
