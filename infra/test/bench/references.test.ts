/** Every reference system is measured only while it is right: here each is held to the count with real servers. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import t, { type Test } from "tap";
import { signToken } from "@hongbao/preprocess";
import { temporaryState } from "@hongbao/infra";
import { measureOnce } from "../../bench/measure/sample.ts";
import { runWrk } from "../../bench/measure/wrk.ts";
import { startHaproxyFloor, startNginxFloor, type Started } from "../../bench/systems/floors.ts";
import { startNaive } from "../../bench/systems/naive/system.ts";
import { startNginxLua } from "../../bench/systems/nginx-lua/system.ts";

const USERS = 3000;
const options = { seconds: 1, connections: 8, threads: 1 };

function identities(dir: string): { users: string; tokens: string } {
  const ids = Array.from({ length: USERS }, (_, index) => `u${index}`);
  const secret = "a-secret-of-the-tests-0123456789";
  const expSeconds = Math.floor(Date.now() / 1000) + 3600;
  const files = { users: join(dir, "users.txt"), tokens: join(dir, "tokens.txt") };
  writeFileSync(files.users, ids.map((id) => `${id}\n`).join(""));
  writeFileSync(files.tokens, ids.map((id) => `${signToken(id, secret, expSeconds)}\n`).join(""));
  return files;
}

/** More users than prizes, each of them twice: exactly the stock goes out, and nobody wins a second prize. */
async function sellsOutExactly(t: Tap, system: Started, stock: number): Promise<void> {
  const load = { ...(await system.begin()), countsAnswers: true, ends: "stop" as const };
  load.paths = [...load.paths, ...load.paths];
  const wrk = await runWrk(load, { ...options, seconds: 30 });
  const { wins } = await system.settle(wrk);
  t.equal(wins, stock, "all prizes went out, and no other");
  t.equal(wrk.others, 0);
  t.ok(wrk.exhausted);
  // The second pass gives winners their prize again, so wins are counted twice, but for those at the end of a pass.
  t.ok(wrk.wins >= stock - 8 && wrk.wins <= 2 * stock, `${wrk.wins} answers said won`);
}

type Tap = Test;

t.test("nginx + Lua", async (t) => {
  const dir = temporaryState(t);
  const files = identities(dir);
  const system = await startNginxLua({ dir, usersFile: files.users, stock: 1000, connections: 8 });
  t.teardown(() => system.stop());
  await sellsOutExactly(t, system, 1000);
});

t.test("naive", async (t) => {
  const dir = temporaryState(t);
  const files = identities(dir);
  const system = await startNaive({ dir, tokensFile: files.tokens, stock: 1000, connections: 8 });
  t.teardown(() => system.stop());
  await sellsOutExactly(t, system, 1000);
});

t.test("a run with stock for everybody agrees with the books", async (t) => {
  const dir = temporaryState(t);
  const files = identities(dir);
  const system = await startNginxLua({ dir, usersFile: files.users, stock: 1_000_000, connections: 8 });
  t.teardown(() => system.stop());
  // Users come again when the list is through, and are given the same prize: then wrk has counted more than the books.
  const { wrk, verdict } = await measureOnce(system, options);
  t.equal(wrk.exhausted, verdict.faults.length > 0, verdict.faults.join());
  t.ok(verdict.wins <= USERS);
});

t.test("floors", async (t) => {
  const dir = temporaryState(t);
  const files = identities(dir);
  const nginx = await startNginxFloor(join(dir, "nginx"));
  const haproxy = await startHaproxyFloor(join(dir, "haproxy"), {
    method: "POST",
    paths: ["/v1/rounds/1/grab?k=x"],
    identities: { file: files.tokens, header: "Authorization: Bearer " },
  });
  for (const system of [nginx, haproxy]) {
    t.teardown(() => system.stop());
    const { wrk, verdict, cpuUs } = await measureOnce(system, options);
    t.same(verdict.faults, []);
    t.ok(wrk.answered > 100);
    t.ok(Object.values(cpuUs).every((us) => us >= 0));
  }
});
