/** A wallet or an order system behind HTTP. docs/decisions/0010-payout.md says what it must promise. */
import { createHmac } from "node:crypto";
import type { Outcome, OutsideTarget, PayoutOrder } from "./target.ts";

const ANSWER_BYTES_MAX = 16_384;
/** Of the 4xx these say "not now", not "never": too slow, busy with the same key, too early, too many. */
const NOT_NOW: readonly number[] = [408, 409, 423, 425, 429];

export interface HttpTargetParts {
  name: "wallet" | "orders";
  /** Payouts are posted here; `url/KEY` tells what became of one. */
  url: string;
  secret: string;
  timeoutMs: number;
  /** ms since 1970. */
  now?: () => number;
}

/** The signature of a request: HMAC-SHA256, hex, over time, method, path and body. A target refuses old times. */
export function signature(
  secret: string,
  request: { timestampMs: number; method: string; path: string; body: string },
): string {
  const { timestampMs, method, path, body } = request;
  return createHmac("sha256", secret).update(`${timestampMs}\n${method}\n${path}\n${body}`).digest("hex");
}

/** What is posted: everything that a wallet needs to pay, or an order system to place an order. */
export function bodyOf(order: PayoutOrder): string {
  const { key, event, round, prizeId, user, currency, amountMinor, item } = order;
  const what = item === undefined ? { amount: amountMinor } : { sku: item.sku, price: item.priceMinor };
  return JSON.stringify({ key, event, round, prize: String(prizeId), user, ...what, currency });
}

export function httpTarget(parts: HttpTargetParts): OutsideTarget {
  const { name, secret, timeoutMs, now = Date.now } = parts;
  const base = parts.url.replace(/\/$/, "");
  const call = async (method: "GET" | "POST", order: PayoutOrder): Promise<Outcome> => {
    const url = method === "POST" ? base : `${base}/${encodeURIComponent(order.key)}`;
    const body = method === "POST" ? bodyOf(order) : "";
    const timestampMs = now();
    const { pathname } = new URL(url);
    try {
      const response = await fetch(url, {
        method,
        headers: {
          "content-type": "application/json",
          "idempotency-key": order.key,
          "x-hongbao-time": String(timestampMs),
          "x-hongbao-signature": signature(secret, { timestampMs, method, path: pathname, body }),
        },
        ...(method === "POST" ? { body } : {}),
        // A redirect would carry a signed order to a place that nobody configured.
        redirect: "manual",
        signal: AbortSignal.timeout(timeoutMs),
      });
      const text = await boundedText(response);
      return method === "POST"
        ? outcomeOfSend(response.status, text, order)
        : outcomeOfConfirm(response.status, text, order);
    } catch (error) {
      return { kind: "retry", reason: `no answer: ${causeOf(error)}` };
    }
  };
  return {
    kind: "outside",
    name,
    send: (order) => call("POST", order),
    confirm: (order) => call("GET", order),
  };
}

/** Reads a status and a body as the answer to a payout. Pure. */
export function outcomeOfSend(status: number, text: string, order: PayoutOrder): Outcome {
  if (status === 202) return { kind: "accepted" };
  if (status >= 200 && status < 300) return outcomeOfWord(answerOf(text), order, "paid");
  const reason = `answered ${status} ${text.slice(0, 120)}`.trim();
  const isFinal = status >= 400 && status < 500 && !NOT_NOW.includes(status);
  return { kind: isFinal ? "refused" : "retry", reason };
}

/** Reads the answer to "what became of it?". 404: the target never got it, so it is sent again. Pure. */
export function outcomeOfConfirm(status: number, text: string, order: PayoutOrder): Outcome {
  if (status === 404) return { kind: "unknown" };
  if (status === 202) return { kind: "accepted" };
  if (status === 200) return outcomeOfWord(answerOf(text), order, null);
  return { kind: "retry", reason: `asked for its state it answered ${status} ${text.slice(0, 120)}`.trim() };
}

interface Answer {
  status?: unknown;
  key?: unknown;
  amount?: unknown;
  reason?: unknown;
}

/** An answer about another payout or amount is not an answer to ours. */
function outcomeOfWord(answer: Answer, order: PayoutOrder, silent: "paid" | null): Outcome {
  if (answer.key !== undefined && answer.key !== order.key)
    return { kind: "retry", reason: `the answer is about ${short(answer.key)}, asked was ${order.key}` };
  if (order.item === undefined && answer.amount !== undefined && answer.amount !== order.amountMinor)
    return {
      kind: "refused",
      reason: `the answer says ${short(answer.amount)}, ordered was ${order.amountMinor}`,
    };
  const word = answer.status ?? silent;
  switch (word) {
    case "paid":
      return { kind: "paid" };
    case "accepted":
    case "pending":
      return { kind: "accepted" };
    case "refused":
      return { kind: "refused", reason: `refused: ${short(answer.reason ?? "no reason given")}` };
    default:
      return { kind: "retry", reason: `found the status ${short(word)}, expected paid, accepted or refused` };
  }
}

const short = (value: unknown): string => String(JSON.stringify(value)).slice(0, 120);

function answerOf(text: string): Answer {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? value : {};
  } catch {
    return {};
  }
}

async function boundedText(response: Response): Promise<string> {
  let text = "";
  const decoder = new TextDecoder();
  for await (const chunk of response.body ?? []) {
    text += decoder.decode(chunk as Uint8Array, { stream: true });
    if (text.length > ANSWER_BYTES_MAX) throw new Error(`more than ${ANSWER_BYTES_MAX} bytes`);
  }
  return text;
}

function causeOf(error: unknown): string {
  const { cause, name, message } = error as { cause?: { code?: string }; name?: string; message?: string };
  return cause?.code ?? (name === "TimeoutError" ? "time-out" : (message ?? String(error)));
}
