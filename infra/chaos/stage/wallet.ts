/** A wallet outside the cluster: it pays a key once, whatever it answers, and can be told to answer badly. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";

export type WalletMood = "pay" | "fail" | "hang" | "pay-and-hang" | "pay-and-fail";

export interface WalletPayment {
  key: string;
  user: string;
  amount: number;
  /** Orders with the same key that said something else. */
  contradictions: number;
  /** How often it was asked to pay this. */
  asked: number;
}

interface Order {
  key: string;
  user: string;
  amount?: number;
}

export class Wallet {
  readonly payments = new Map<string, WalletPayment>();
  mood: WalletMood = "pay";
  readonly #port: number;
  #server: Server | null = null;
  /** Requests that are left hanging; they end with the mood. */
  readonly #hanging = new Set<ServerResponse>();

  constructor(port: number) {
    this.#port = port;
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}/v1/payouts`;
  }

  async start(): Promise<void> {
    const server = createServer((request, response) => {
      this.#answer(request, response).catch(() => response.destroy());
    });
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen({ host: "127.0.0.1", port: this.#port }, resolve);
    });
    this.#server = server;
  }

  set(mood: WalletMood): void {
    this.mood = mood;
    for (const response of this.#hanging) response.destroy();
    this.#hanging.clear();
  }

  async stop(): Promise<void> {
    this.set("pay");
    this.#server?.closeAllConnections();
    await new Promise<void>((resolve) => (this.#server ? this.#server.close(() => resolve()) : resolve()));
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let text = "";
    for await (const chunk of request) text += String(chunk);
    const say = (status: number, body: unknown): void => {
      response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
    };
    if (request.method === "GET") {
      const key = decodeURIComponent(request.url!.split("/").at(-1)!);
      return this.payments.has(key) ? say(200, { status: "paid", key }) : say(404, {});
    }
    const { mood } = this;
    if (mood === "fail") return say(500, { error: "broken" });
    if (mood === "hang") return void this.#hanging.add(response);
    const order = JSON.parse(text) as Order;
    this.#pay(order);
    if (mood === "pay-and-hang") return void this.#hanging.add(response);
    if (mood === "pay-and-fail") return say(500, { error: "broken after it was paid" });
    say(200, {
      status: "paid",
      key: order.key,
      ...(order.amount === undefined ? {} : { amount: order.amount }),
    });
  }

  #pay({ key, user, amount = 0 }: Order): void {
    const known = this.payments.get(key);
    if (known === undefined)
      return void this.payments.set(key, { key, user, amount, contradictions: 0, asked: 1 });
    known.asked += 1;
    if (known.user !== user || known.amount !== amount) known.contradictions += 1;
  }
}
