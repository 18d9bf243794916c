import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import type { Test } from "tap";
import { BadInput, readSecrets, readTopology, Unreachable } from "../src/index.ts";
import { temporaryDir, writeSecrets, writeTopology } from "./fixtures.ts";

function setUp(t: Test) {
  const dir = temporaryDir(t);
  writeSecrets(dir);
  const put = (name: string, text: string): void => writeFileSync(join(dir, "secrets", name), text);
  return { dir, put, topology: readTopology(writeTopology(dir)) };
}

t.test("reads six secrets, from files and from the environment", async (t) => {
  const { topology } = setUp(t);
  const secrets = readSecrets(topology);
  t.same(secrets.token, ["token-".padEnd(32, "0")]);
  t.same(secrets.spop, ["spop-".padEnd(32, "0")]);
  t.equal(secrets.operator, "operator-".padEnd(32, "0"));
});

t.test("reads only the secrets that are asked for", async (t) => {
  const { dir, topology } = setUp(t);
  rmSync(join(dir, "secrets/mysql"));
  t.same(Object.keys(readSecrets(topology, ["token", "redis"])), ["token", "redis"]);
});

t.test("a second line is the previous key, of token, receipt and spop only", async (t) => {
  const { put, topology } = setUp(t);
  put("token", `${"a".repeat(20)}\r\n  ${"b".repeat(20)}\n\n`);
  t.same(readSecrets(topology, ["token"]).token, ["a".repeat(20), "b".repeat(20)]);
  put("operator", `${"c".repeat(20)}\n${"d".repeat(20)}\n`);
  t.throws(() => readSecrets(topology), {
    message: /secrets\.operator: found 2 lines in .*, expected at most 1/,
  });
});

t.test("a secret that is not there is not reachable, and the place is named", async (t) => {
  const { dir, put, topology } = setUp(t);
  rmSync(join(dir, "secrets/redis"));
  t.throws(() => readSecrets(topology), Unreachable);
  t.throws(() => readSecrets(topology), {
    message: `secrets.redis: ${join(dir, "secrets/redis")} is not there`,
  });
  put("redis", "\n");
  t.throws(() => readSecrets(topology), { message: /secrets\.redis: .* is empty/ });
  put("redis", "r".repeat(32));
  delete process.env.HONGBAO_TEST_SPOP;
  t.throws(() => readSecrets(topology), {
    message: "secrets.spop: the environment variable HONGBAO_TEST_SPOP is not set",
    exitCode: 3,
  });
});

t.test("weak and equal secrets are refused without being shown", async (t) => {
  const { put, topology } = setUp(t);
  const refuse = (message: RegExp, value: string): void => {
    t.throws(() => readSecrets(topology), { message, exitCode: 2 });
    try {
      readSecrets(topology);
    } catch (error) {
      t.ok(error instanceof BadInput);
      t.notOk(String(error).includes(value), "the value is not shown");
    }
  };
  put("receipt", "short-secret");
  refuse(/secrets\.receipt: found another form .* at least 16/, "short-secret");
  put("receipt", "with blanks in the middle of it");
  refuse(/secrets\.receipt: found another form/, "with blanks");
  put("receipt", "token-".padEnd(32, "0"));
  refuse(/secrets\.receipt: found the same value as secrets\.token/, "token-000");
});
