/**
 * A conductor is stopped (SIGSTOP) in mid-transfer, before and after each of its two calls to the buckets. Its twins finish
 * the transfer; then it wakes and goes on where it was, its late call included. No prize may be lost or doubled.
 */
import { fork, type ChildProcess } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { freePort, waitUntil } from "@hongbao/infra";
import { readSecrets } from "@hongbao/preprocess";
import t from "tap";
import { allArrived, booksOf, movesCluster, ordered, type MovesCluster } from "./cluster.ts";

// Whole clusters on a machine that may be busy.
t.setTimeout(300_000);

const COUNT = 10;
const SCRIPT = join(import.meta.dirname, "..", "..", "..", "hongbao.ts");

interface Moment {
  half: "out" | "in";
  when: "before" | "after";
}

/** What happens to the conductor's calls on their way to the buckets. */
type Hook = (half: string, forward: () => Promise<void>) => Promise<void>;

async function proxy(target: string, hook: () => Hook): Promise<{ address: string; close: () => void }> {
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    let body = "";
    for await (const chunk of request.setEncoding("utf8")) body += String(chunk);
    let told: { status: number; text: string } | null = null;
    const forward = async (): Promise<void> => {
      const { authorization = "" } = request.headers;
      const answered = await fetch(`http://${target}${request.url}`, {
        method: request.method!,
        headers: { authorization, "content-type": "application/json" },
        ...(body === "" ? {} : { body }),
      });
      told = { status: answered.status, text: await answered.text() };
    };
    const half = /^\/admin\/moves\/.*\/(out|in)$/.exec(request.url ?? "")?.[1];
    if (half === undefined) await forward();
    else await hook()(half, forward);
    const { status, text } = told!;
    response.writeHead(status, { "content-type": "application/json" }).end(text);
  };
  const server = createServer((request, response) => {
    answer(request, response).catch(() => response.destroy());
  });
  const address = `127.0.0.1:${await freePort()}`;
  await new Promise<void>((resolve) => server.listen(Number(address.split(":")[1]), "127.0.0.1", resolve));
  return {
    address,
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}

/** A third controller on the same control store, whose calls to the buckets go through our hands. */
async function thirdController(
  t: { teardown(handler: () => void): void },
  cluster: MovesCluster,
  hook: () => Hook,
): Promise<{ child: ChildProcess; admin: string }> {
  const admin = `127.0.0.1:${await freePort()}`;
  const { path, buckets } = cluster.topology;
  let text = readFileSync(path, "utf8");
  const targets = buckets.flatMap(({ services, persist }) => [
    ...(services as { admin: string }[]).map((place) => place.admin),
    ...persist.map((place) => place.admin),
  ]);
  for (const target of targets) {
    const { address, close } = await proxy(target, hook);
    t.teardown(close);
    text = text.replaceAll(`admin: "${target}"`, `admin: "${address}"`);
  }
  text = text.replace(/id: c0, admin: "[^"]+"/, `id: c9, admin: "${admin}"`);
  text = text.replace(/site: "[^"]+"/, `site: "http://127.0.0.1:${await freePort()}"`);
  const copy = join(dirname(path), "third.yaml");
  writeFileSync(copy, text);
  const child = fork(SCRIPT, ["controller", "--id", "c9", "--topology", copy], {
    execArgv: ["--disable-warning=ExperimentalWarning"],
    silent: true,
  });
  t.teardown(() => {
    child.kill("SIGCONT");
    child.kill("SIGKILL");
  });
  return { child, admin };
}

t.test("stopped at any moment of a transfer and woken after its twin finished it", async (t) => {
  const cluster = await movesCluster(t, {
    users: 200,
    budget: "500.00",
    rounds: [
      "{ id: 1, kind: envelope, opensAt: manual, closesAt: +1h, count: 500, budget: 500.00, split: { method: equal } }",
    ],
  });
  const { operator } = readSecrets(cluster.topology, ["operator"]);
  let hook: Hook = (_half, forward) => forward();
  const { child, admin } = await thirdController(t, cluster, () => hook);
  const ask = async (path: string, body?: unknown): Promise<{ status: number; json: unknown }> => {
    const response = await fetch(`http://${admin}${path}`, {
      method: body === undefined ? "GET" : "POST",
      headers: { authorization: `Bearer ${operator}` },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return { status: response.status, json: await response.json() };
  };
  const lend = { from: "b1", to: "b0", count: COUNT, by: "test" };
  await waitUntil(
    async () => {
      const { json } = await ask("/admin/state").catch(() => ({ json: null }));
      return (json as { rounds?: unknown[] } | null)?.rounds?.length === 1;
    },
    { what: "the third controller", timeoutMsMax: 20_000 },
  );
  const before = (await booksOf(cluster)).left;
  let lent = 0;

  /** Freezes it at the moment, unless a twin is faster; then true is not answered. */
  const frozenAt = async ({ half, when }: Moment): Promise<boolean> => {
    const frozen = Promise.withResolvers<void>();
    const twinIsDone = Promise.withResolvers<void>();
    const passed = Promise.withResolvers<void>();
    hook = async (asked, forward) => {
      if (asked !== half) return forward();
      hook = (_half, later) => later();
      if (when === "after") await forward();
      child.kill("SIGSTOP");
      frozen.resolve();
      await twinIsDone.promise;
      if (when === "before") await forward();
      passed.resolve();
    };
    void ask("/admin/rounds/1/lend", lend).catch(() => undefined);
    lent += COUNT;
    const isFrozen = await Promise.race([frozen.promise.then(() => true), sleep(3_000).then(() => false)]);
    await allArrived(cluster);
    if (!isFrozen) return false;
    child.kill("SIGCONT");
    twinIsDone.resolve();
    await passed.promise;
    return true;
  };

  for (const half of ["out", "in"] as const) {
    for (const when of ["before", "after"] as const) {
      let isFrozen = false;
      for (let tries = 0; !isFrozen && tries < 10; tries += 1) isFrozen = await frozenAt({ half, when });
      t.ok(isFrozen, `stopped ${when} "${half}"`);
      // It is awake again, and agrees with the others.
      await waitUntil(
        async () => {
          const { json } = await ask("/admin/state").catch(() => ({ json: null }));
          const transfers = (json as { transfers: { state: string }[] } | null)?.transfers ?? [];
          return transfers.length > 0 && transfers.every(({ state }) => state === "done");
        },
        { what: "the word of the woken controller", timeoutMsMax: 20_000 },
      );
      const { lost, doubled, left } = await booksOf(cluster);
      t.same([lost, doubled], [[], []]);
      t.same([left["b0/1"], left["b1/1"]], [before["b0/1"]! + lent, before["b1/1"]! - lent]);
    }
  }
  const audit = await ordered<{ ok: boolean; rounds: Record<string, unknown>[] }>(cluster, "audit");
  t.equal(audit.ok, true);
  t.match(audit.rounds[0], { lentOut: { count: lent }, borrowed: { count: lent } });
});
