/** A core and a pack for tests of the doors: what a user gets stands in the user's name. */
import { waitUntil } from "@hongbao/infra";
import type { Pack } from "@hongbao/preprocess";
import { GrabDesk } from "../../src/doors/grab-desk.ts";
import { SpopAgent, type SpopAgentParts } from "../../src/doors/spop/agent.ts";
import { AnswerWriter, type AnswerWord } from "../../src/grab/answers.ts";
import type { GrabAsk, GrabListener } from "../../src/grab/grab-core.ts";

export const SECRET = "current-secret-of-the-test";
export const PREVIOUS_SECRET = "previous-secret-of-the-test";
export const OPENS_AT_MS = Date.UTC(2027, 1, 5, 12);

/** Two envelopes of three texts, and an item; greetings of every length of UTF-8. */
export const fakePack = {
  manifest: {
    event: { id: "spring", currency: "CNY" },
    rounds: [
      { id: 1, kind: "envelope" },
      { id: 2, kind: "envelope" },
      {
        id: 3,
        kind: "item",
        item: { sku: "PHONE-1", title: { zh: "手机 📱", en: "Phone é" }, priceMinor: 100 },
      },
    ],
  },
  greetingOf: (id: number) => ["Happy New Year", '恭喜发财，"大吉"大利', "é 🧧 \\ \n end"][id % 3]!,
  amountOf: (id: number) => (id * 37) % 20_000,
} as unknown as Pack;

export const fakeWriter = new AnswerWriter(fakePack, "b0", "receipt-secret-of-the-test");

/** The same user has the same prize in every process. */
export function prizeOf(user: string, round: number, n: number): number {
  let hash = round * 31 + n;
  for (const letter of user) hash = (hash * 33 + letter.charCodeAt(0)) % 2_000_000;
  return 1_000_001 + hash;
}

export class FakeCore {
  readonly asks: GrabAsk[] = [];
  /** Answers that "hold-…" users wait for. */
  readonly held: (() => void)[] = [];
  window = 0;

  has(round: number): boolean {
    return round >= 1 && round <= 3;
  }

  grab(ask: GrabAsk, answer: GrabListener): void {
    const { round, user, n } = ask;
    this.asks.push({ round, user, n, key: ask.key, secondPass: ask.secondPass, often: ask.often });
    ask.often = user.startsWith("often");
    const [word, ...rest] = user.split("-");
    const win = (): void => answer("won", prizeOf(user, round, n), 0);
    if (word === "hold") this.held.push(win);
    else if (word === "later") setImmediate(win);
    // A while, so that there are always questions under way when something breaks.
    else if (word === "slow") setTimeout(win, 5);
    else if (word === "ended") answer("ended", 0, Number(rest[0] ?? 0));
    else if (word === "bad") answer("bad_request", 0, 0);
    else if (word === "closed") answer("not_open", 0, 0);
    else if (word === "stranger") answer("not_eligible", 0, 0);
    else if (word === "busy") answer("busy", 0, 0);
    else win();
  }

  release(): void {
    for (const answer of this.held.splice(0)) answer();
  }
}

export function fakeDesk(core: FakeCore): GrabDesk {
  return new GrabDesk({ core, writer: fakeWriter, opensAtMs: () => OPENS_AT_MS });
}

interface Teardown {
  teardown(handler: () => void | Promise<void>): void;
}

export interface FakeAgent {
  agent: SpopAgent;
  core: FakeCore;
  port: number;
  tally: Map<AnswerWord, number>;
  faults: string[];
}

/** An agent on a free port, stopped at the end of the test. */
export async function fakeAgent(
  t: Teardown,
  parts: Partial<Pick<SpopAgentParts, "secrets" | "policy">> = {},
): Promise<FakeAgent> {
  const core = new FakeCore();
  const tally = new Map<AnswerWord, number>();
  const faults: string[] = [];
  const agent = new SpopAgent({
    desk: fakeDesk(core),
    secrets: [SECRET, PREVIOUS_SECRET],
    onAnswer: (word) => void tally.set(word, (tally.get(word) ?? 0) + 1),
    onFault: (what) => faults.push(what),
    window: () => core.window,
    ...parts,
  });
  await new Promise<void>((resolve) => agent.server.listen(0, "127.0.0.1", resolve));
  t.teardown(() => agent.stop(100));
  const address = agent.server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return { agent, core, port: address.port, tally, faults };
}

/** Waits for something that will come true. */
export async function until(what: string, check: () => boolean): Promise<void> {
  await waitUntil(async () => check(), { what, timeoutMsMax: 60_000, intervalMs: 2 });
}
