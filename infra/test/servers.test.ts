import { execFile } from "node:child_process";
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import t from "tap";
import { processesIn, startMysql, startRedis, temporaryState } from "@hongbao/infra";

const run = promisify(execFile);
const password = "0123456789abcdef-test";

t.test("redis is private, durable and comes back with its data", async (t) => {
  const dir = join(temporaryState(t), "redis");
  const redis = await startRedis({ dir, password });
  const cli = (...args: string[]) =>
    run("redis-cli", ["-p", String(redis.port), "--raw", ...args], {
      env: { ...process.env, REDISCLI_AUTH: password },
    });
  t.equal(redis.url, `redis://:${password}@127.0.0.1:${redis.port}`);
  t.equal(redis.plainUrl, `redis://127.0.0.1:${redis.port}`);
  t.match((await cli("config", "get", "appendfsync")).stdout, /always/);
  t.match((await cli("config", "get", "maxmemory-policy")).stdout, /noeviction/);
  t.equal((await cli("config", "get", "save")).stdout.trim(), "save");
  t.match((await run("redis-cli", ["-p", String(redis.port), "ping"])).stdout, /NOAUTH/);
  t.notMatch(readFileSync(`/proc/${redis.pid}/cmdline`, "utf8"), password);
  t.equal(statSync(join(dir, "redis.conf")).mode & 0o777, 0o600);
  await cli("set", "kept", "yes");
  redis.kill("SIGKILL");
  t.equal(await redis.exited, null);
  const again = await startRedis({ dir, password, port: redis.port });
  t.equal((await cli("get", "kept")).stdout.trim(), "yes");
  await again.stop();
  t.same(processesIn(dir), []);
});

t.test("mariadb is private, durable, takes only our user", async (t) => {
  // Longer than a socket's path may be, and with blanks.
  const dir = join(temporaryState(t), "a state ".repeat(15), "mysql");
  const mysql = await startMysql({ dir, password });
  const sql = (query: string, user = "hongbao", secret = password) =>
    run("mariadb", ["--no-defaults", "-h127.0.0.1", `-P${mysql.port}`, `-u${user}`, "-BN", "-e", query], {
      env: { ...process.env, MYSQL_PWD: secret },
    });
  t.equal(mysql.url, `mysql://hongbao:${password}@127.0.0.1:${mysql.port}`);
  await sql(
    "CREATE DATABASE hongbao_x; CREATE TABLE hongbao_x.t (a int primary key); INSERT INTO hongbao_x.t VALUES (7)",
  );
  const settings =
    "SELECT @@innodb_flush_log_at_trx_commit, @@local_infile, @@character_set_server, @@log_bin";
  t.equal((await sql(settings)).stdout, "1\t1\tutf8mb4\t0\n");
  await t.rejects(sql("SELECT 1", "hongbao", "wrong"));
  await t.rejects(sql("SELECT 1", "root", ""));
  await t.rejects(sql("SELECT 1", "", ""));
  await t.rejects(sql("CREATE DATABASE other"));
  t.notMatch(readFileSync(`/proc/${mysql.pid}/cmdline`, "utf8"), password);
  t.equal(statSync(join(dir, "init.sql")).mode & 0o777, 0o600);
  mysql.kill("SIGKILL");
  await mysql.exited;
  const again = await startMysql({ dir, password, port: mysql.port });
  t.equal((await sql("SELECT a FROM hongbao_x.t")).stdout, "7\n");
  await again.stop();
  t.same(processesIn(dir), []);
});
