import { answerTable, type AnswerWord } from "../../grab/answers.ts";
import { DATA_TRUE, DataType, FLAG_FIN, FRAME_BYTES_MIN, FrameType, LENGTH_BYTES } from "./frames.ts";
import { VARINT_BYTES_MAX, varintBytes, writeVarint } from "./varint.ts";

/**
 * The variables that an answer sets, in HAProxy's scope txn: the JSON text, the HTTP status, the seconds of Retry-After when
 * there are some, with `ended` the number of the stock whose end was seen, from a service that has too much to do how many
 * requests it bears at once, and `often` when the user had asked a moment before.
 */
export const VARIABLES = {
  body: "body",
  status: "status",
  retry: "retry",
  stock: "stock",
  window: "window",
  often: "often",
} as const;

const SET_VARIABLE = 1;
const SET_VARIABLE_ARGUMENTS = 3;
const SCOPE_TRANSACTION = 2;

/** The action that sets a variable, up to its value: action, number of arguments, scope, name, type. */
function setVariable(name: string, type: number): Buffer {
  return Buffer.from([
    SET_VARIABLE,
    SET_VARIABLE_ARGUMENTS,
    SCOPE_TRANSACTION,
    name.length,
    ...Buffer.from(name),
    type,
  ]);
}

const setBody = setVariable(VARIABLES.body, DataType.string);
const setStock = setVariable(VARIABLES.stock, DataType.int64);
const setWindow = setVariable(VARIABLES.window, DataType.int32);
const setOften = setVariable(VARIABLES.often, DataType.bool | DATA_TRUE);

/** What depends on the word alone: the status, and Retry-After where there is one. */
function wordActions(word: AnswerWord): Buffer {
  const entry: { status: number; retryAfterSeconds?: number } = answerTable[word];
  const status = setInteger(VARIABLES.status, entry.status);
  if (entry.retryAfterSeconds === undefined) return status;
  return Buffer.concat([status, setInteger(VARIABLES.retry, entry.retryAfterSeconds)]);
}

function setInteger(name: string, value: number): Buffer {
  const digits = Buffer.alloc(varintBytes(value));
  writeVarint(digits, 0, value);
  return Buffer.concat([setVariable(name, DataType.int32), digits]);
}

const actionsOf = Object.fromEntries(
  (Object.keys(answerTable) as AnswerWord[]).map((word) => [word, wordActions(word)]),
) as Record<AnswerWord, Buffer>;

const LONGEST_WORD_ACTIONS = Math.max(...Object.values(actionsOf).map((actions) => actions.length));

/** Room that an ACK may take, without its body. */
export const ACK_BYTES_MAX =
  LENGTH_BYTES +
  FRAME_BYTES_MIN +
  2 * VARINT_BYTES_MAX +
  LONGEST_WORD_ACTIONS +
  setStock.length +
  VARINT_BYTES_MAX +
  setWindow.length +
  VARINT_BYTES_MAX +
  setOften.length +
  setBody.length +
  VARINT_BYTES_MAX;

/** Writes an ACK frame that sets an answer's variables. The caller has made room. Returns where the frame ends. */
export function writeAnswer(
  out: Buffer,
  at: number,
  streamId: number,
  frameId: number,
  word: AnswerWord,
  body: string,
  stock: number,
  window = 0,
  often = false,
): number {
  let end = writeHead(out, at, streamId, frameId);
  end = copyInto(out, end, actionsOf[word]);
  if (stock > 0) {
    end = copyInto(out, end, setStock);
    end = writeVarint(out, end, stock);
  }
  if (window > 0) {
    end = copyInto(out, end, setWindow);
    end = writeVarint(out, end, window);
  }
  if (often) end = copyInto(out, end, setOften);
  end = copyInto(out, end, setBody);
  end = writeVarint(out, end, body.length);
  end += out.write(body, end, "latin1");
  return writeLength(out, at, end);
}

/** Writes an ACK frame without actions: HAProxy gets no answer and asks elsewhere. Returns where the frame ends. */
export function writeNoAnswer(out: Buffer, at: number, streamId: number, frameId: number): number {
  return writeLength(out, at, writeHead(out, at, streamId, frameId));
}

function writeHead(out: Buffer, at: number, streamId: number, frameId: number): number {
  const head = at + LENGTH_BYTES;
  out[head] = FrameType.ack;
  out[head + 1] = 0;
  out[head + 2] = 0;
  out[head + 3] = 0;
  out[head + 4] = FLAG_FIN;
  return writeVarint(out, writeVarint(out, head + 5, streamId), frameId);
}

function writeLength(out: Buffer, at: number, end: number): number {
  const length = end - at - LENGTH_BYTES;
  out[at] = length >>> 24;
  out[at + 1] = length >>> 16;
  out[at + 2] = length >>> 8;
  out[at + 3] = length;
  return end;
}

/** For a few bytes a loop is faster than Buffer.copy. */
function copyInto(out: Buffer, at: number, bytes: Buffer): number {
  for (let i = 0; i < bytes.length; i += 1) out[at + i] = bytes[i]!;
  return at + bytes.length;
}
