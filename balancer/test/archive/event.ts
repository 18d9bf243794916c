/** A small event with everything that an archive may hold, and people who press. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openControllers } from "../../src/operate/controllers.ts";
import { bucketOf, readSecrets, signToken } from "@hongbao/preprocess";
import { waitUntil, type TestCluster } from "@hongbao/infra";

const USERS = 60;

/** Two rounds by command: envelopes, of which more than the rest of b1's users can take, and an item. */
export function writeEvent(dir: string): string {
  mkdirSync(dir, { recursive: true });
  const users = Array.from({ length: USERS }, (_, n) => `u${n + 1},Name ${n + 1},staff`);
  writeFileSync(join(dir, "users.csv"), `id,name,group\n${users.join("\n")}\n`);
  writeFileSync(
    join(dir, "event.yaml"),
    `event: kept
title: { zh: 留存, en: Kept }
currency: CNY
timezone: Asia/Shanghai
budget: 100.00
users: users.csv
rounds:
  - id: 1
    kind: envelope
    opensAt: manual
    closesAt: +1h
    count: 80
    budget: 100.00
    split: { method: lucky, min: 0.01, max: 20.00 }
    perUser: 2
    leftovers: hold
  - id: 2
    kind: item
    item: { sku: PHONE-1, title: { zh: 手机, en: Phone }, price: 1.00 }
    opensAt: manual
    closesAt: +1h
    count: 4
`,
  );
  return join(dir, "event.yaml");
}

/** Everybody of one bucket, or of all. */
export function usersOf({ topology }: TestCluster, bucket?: number): string[] {
  return Array.from({ length: USERS }, (_, n) => `u${n + 1}`).filter(
    (user) => bucket === undefined || bucketOf(topology, user) === bucket,
  );
}

/** What `hongbao round …` does, without a process of its own. */
export async function order(cluster: TestCluster, path: string, body: object = {}): Promise<void> {
  await openControllers({ topology: cluster.topology.path }).post(path, {
    by: "ann",
    why: "a test",
    ...body,
  });
}

async function keyOf(cluster: TestCluster, round: number): Promise<string> {
  let key = "";
  await waitUntil(
    async () => {
      const text = await (await fetch(`${cluster.url}/start/${round}.js`)).text();
      key = /"key":"([^"]+)"/.exec(text)?.[1] ?? "";
      return key !== "";
    },
    { what: `the key of round ${round}`, timeoutMsMax: 30_000 },
  );
  return key;
}

/** Presses for each of them until the answer is won or ended; answers how many won. */
export async function press(cluster: TestCluster, round: number, users: string[], n = 1): Promise<number> {
  const { token } = readSecrets(cluster.topology, ["token"]);
  const key = await keyOf(cluster, round);
  const one = async (user: string): Promise<boolean> => {
    const authorization = `Bearer ${signToken(user, token[0]!, Math.floor(Date.now() / 1000) + 3600)}`;
    let result = "";
    await waitUntil(
      async () => {
        const url = `${cluster.url}/v1/rounds/${round}/grab?k=${key}&n=${n}`;
        const answer = (await (await fetch(url, { method: "POST", headers: { authorization } })).json()) as {
          result: string;
        };
        result = answer.result;
        return result === "won" || result === "ended";
      },
      { what: `an answer for ${user}`, timeoutMsMax: 30_000 },
    );
    return result === "won";
  };
  return (await Promise.all(users.map(one))).filter(Boolean).length;
}
