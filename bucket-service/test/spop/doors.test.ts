/** Both doors of one process, side by side: the same question gets the same answer, to the byte. */
import { createServer } from "node:http";
import fc from "fast-check";
import t from "tap";
import { signToken } from "@hongbao/preprocess";
import { httpDoor, STOCK_HEADER } from "../../src/doors/http.ts";
import { Identity } from "../../src/doors/identity.ts";
import type { WinsReader } from "../../src/grab/wins.ts";
import { SpopClient, type Value } from "./client.ts";
import { UserLimits } from "../../src/grab/limits.ts";
import { fakeAgent, fakeWriter, OPENS_AT_MS, SECRET } from "./fake.ts";

const TOKEN_SECRET = "token-secret-of-the-test";

interface Answer {
  status: Value | undefined;
  body: Value | undefined;
  retry: Value | undefined;
  stock: Value | undefined;
}

t.test("any question gets the same answer through both doors", async (t) => {
  const { port, core } = await fakeAgent(t);
  const door = createServer(
    httpDoor({
      core,
      writer: fakeWriter,
      identity: new Identity([TOKEN_SECRET]),
      limits: new UserLimits(() => 0),
      wins: {} as WinsReader,
      receipts: { take: async () => [], ready: () => true },
      opensAtMs: () => OPENS_AT_MS,
    }),
  );
  await new Promise<void>((resolve) => door.listen(0, "127.0.0.1", resolve));
  t.teardown(() => {
    door.closeAllConnections();
    door.close();
  });
  const address = door.address() as { port: number };
  const client = await SpopClient.ready(port);

  interface Question {
    round: string;
    user: string;
    key: string | null;
    n: string | null;
  }
  const overHttp = async ({ round, user, key, n }: Question): Promise<Answer> => {
    const query = new URLSearchParams({ ...(key === null ? {} : { k: key }), ...(n === null ? {} : { n }) });
    const response = await fetch(
      `http://127.0.0.1:${address.port}/v1/rounds/${round}/grab?${query.toString()}`,
      {
        method: "POST",
        headers: user === "" ? {} : { authorization: `Bearer ${signToken(user, TOKEN_SECRET, 4e9)}` },
      },
    );
    t.equal(response.headers.get("content-type"), "application/json; charset=utf-8");
    const number = (name: string): number | undefined => {
      const value = response.headers.get(name);
      return value === null ? undefined : Number(value);
    };
    return {
      status: response.status,
      body: await response.text(),
      retry: number("retry-after"),
      stock: number(STOCK_HEADER),
    };
  };
  const overSpop = async ({ round, user, key, n }: Question): Promise<Answer> => {
    const found = await client.ask(1, { secret: SECRET, round, user, key, n });
    return {
      status: found?.["txn.status"],
      body: found?.["txn.body"],
      retry: found?.["txn.retry"],
      stock: found?.["txn.stock"],
    };
  };

  const user = fc.oneof(
    fc.constantFrom("", "later-u1", "ended", "ended-12", "bad", "closed", "stranger", "busy"),
    fc.string({ unit: fc.constantFrom(..."aZ09._-"), minLength: 1, maxLength: 64 }),
  );
  await fc.assert(
    fc.asyncProperty(
      fc.record({
        round: fc.oneof(fc.constantFrom("1", "2", "3", "03", "99", "0"), fc.nat(99).map(String)),
        user,
        key: fc.oneof(fc.constant(null), fc.string({ unit: fc.constantFrom(..."abc01_-"), maxLength: 40 })),
        n: fc.constantFrom(null, "1", "2", "1", "999999", "1000000", "0", "01", "", "x", "-1", "1.0"),
      }),
      async (question) => {
        const before = core.asks.length;
        const http = await overHttp(question);
        const between = core.asks.length;
        const spop = await overSpop(question);
        t.same(spop, http);
        t.same(core.asks.slice(between), core.asks.slice(before, between), "both ask the core the same");
      },
    ),
    { numRuns: 400 },
  );
});
