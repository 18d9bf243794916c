/** A wallet for tests: it pays once a key, whatever it answers, and can be told to answer badly. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { signature } from "../../src/payout/http-target.ts";

export type Trick =
  /** Pays and says so. */
  | "pay"
  /** 500, and pays nothing. */
  | "fail"
  /** No answer, and pays nothing. */
  | "hang"
  /** Pays, but the answer never comes. */
  | "pay-and-hang"
  /** Pays, and says 500. */
  | "pay-and-fail"
  /** 202: paid when it is asked for the second time. */
  | "accept"
  /** 202, and forgets it. */
  | "accept-and-forget"
  /** 422. */
  | "refuse"
  /** 200, for another key. */
  | "mix-up";

export interface TestWallet {
  url: string;
  secret: string;
  /** Key → what was paid. */
  paid: Map<string, { user: string; amount?: number; sku?: string; times: number }>;
  requests: number;
  /** Requests whose signature was not right. */
  unsigned: number;
  /** What to do with the next request of a key, by how often the key was posted before. */
  trick: (key: string, before: number) => Trick;
  stop(): Promise<void>;
}

interface Order {
  key: string;
  user: string;
  amount?: number;
  sku?: string;
}

export async function startWallet(t: { teardown(handler: () => Promise<void>): void }): Promise<TestWallet> {
  const posted = new Map<string, number>();
  const accepted = new Map<string, { order: Order; asked: number }>();
  const wallet: Omit<TestWallet, "url" | "stop"> = {
    secret: "a-secret-of-the-test-wallet",
    paid: new Map(),
    requests: 0,
    unsigned: 0,
    trick: () => "pay",
  };
  // The idempotency store: a key is paid once, and the same again is the same.
  const pay = (order: Order): void => {
    const known = wallet.paid.get(order.key);
    if (known === undefined) wallet.paid.set(order.key, { ...order, times: 1 });
    else if (known.user !== order.user || known.amount !== order.amount) known.times += 1;
  };
  const say = (response: ServerResponse, status: number, body: unknown): void => {
    response.writeHead(status, { "content-type": "application/json" });
    response.end(JSON.stringify(body));
  };
  const post = (order: Order, response: ServerResponse): void => {
    const before = posted.get(order.key) ?? 0;
    posted.set(order.key, before + 1);
    const paid = {
      status: "paid",
      key: order.key,
      ...(order.amount === undefined ? {} : { amount: order.amount }),
    };
    if (wallet.paid.has(order.key)) return say(response, 200, paid);
    switch (wallet.trick(order.key, before)) {
      case "pay":
        pay(order);
        return say(response, 200, paid);
      case "fail":
        return say(response, 500, { error: "broken" });
      case "hang":
        return;
      case "pay-and-hang":
        return pay(order);
      case "pay-and-fail":
        pay(order);
        return say(response, 500, { error: "broken after it was paid" });
      case "accept":
        accepted.set(order.key, { order, asked: 0 });
        return say(response, 202, { status: "accepted", key: order.key });
      case "accept-and-forget":
        return say(response, 202, { status: "accepted" });
      case "refuse":
        return say(response, 422, { reason: "account closed" });
      case "mix-up":
        return say(response, 200, { ...paid, key: "other:1" });
    }
  };
  const get = (key: string, response: ServerResponse): void => {
    if (wallet.paid.has(key)) return say(response, 200, { status: "paid", key });
    const waiting = accepted.get(key);
    if (waiting === undefined) return say(response, 404, {});
    waiting.asked += 1;
    if (waiting.asked >= 2) pay(waiting.order);
    say(response, 200, { status: waiting.asked >= 2 ? "paid" : "pending", key });
  };
  const server = createServer((request, response) => {
    void readBody(request).then((body) => {
      wallet.requests += 1;
      const { method, url } = request;
      const expected = signature(wallet.secret, {
        timestampMs: Number(request.headers["x-hongbao-time"]),
        method: method!,
        path: url!,
        body,
      });
      if (request.headers["x-hongbao-signature"] !== expected) {
        wallet.unsigned += 1;
        return say(response, 401, { error: "bad signature" });
      }
      if (method === "GET") return get(decodeURIComponent(url!.split("/").at(-1)!), response);
      const order = JSON.parse(body) as Order;
      if (request.headers["idempotency-key"] !== order.key) return say(response, 400, { error: "no key" });
      post(order, response);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const stop = async (): Promise<void> => {
    server.closeAllConnections();
    await new Promise<void>((resolve) => server.close(() => resolve()));
  };
  t.teardown(stop);
  const { port } = server.address() as AddressInfo;
  return Object.assign(wallet, { url: `http://127.0.0.1:${port}/v1/payouts`, stop });
}

async function readBody(request: IncomingMessage): Promise<string> {
  let body = "";
  for await (const chunk of request) body += String(chunk);
  return body;
}
