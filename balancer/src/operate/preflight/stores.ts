/** The stores: set up so that nothing that was told can be lost, with room, and holding what the pack says. */
import type { MysqlFacts, RedisFacts } from "@hongbao/bucket-service";
import { formatMoney } from "@hongbao/preprocess";
import { auditAll } from "../audit.ts";
import { counted, listed, type Check, type Fault } from "./check.ts";
import type { Scene, SeenBucket } from "./scene.ts";

/** Connections for operators, exporters and a process that is replaced, beside those of the pools: twice, for a rehearsal has its own. */
const CONNECTIONS_ASIDE = 10;
/** Connections of each process to Redis: commands, commits, the journal's reader. */
const REDIS_CONNECTIONS_EACH = 3;
/** Bytes that a claim and its user's memory take in Redis, rounded up (docs/reliability.md measured 250 to 300). */
const REDIS_CLAIM_BYTES = 320;

const away = (kind: string, { place }: SeenBucket, error: Error): Fault => ({
  what: `${kind} of bucket ${place.id} cannot be used: ${error.message}`,
  mend: `see ${kind === "Redis" ? "RedisDown" : "MysqlDown"} in docs/runbook.md`,
});

function eachOf<K extends "redis" | "mysql">(
  scene: Scene,
  kind: K,
  look: (facts: Exclude<SeenBucket[K], Error>, bucket: SeenBucket) => Fault[],
): Fault[] {
  return scene.buckets.flatMap((bucket) => {
    const facts = bucket[kind];
    if (facts instanceof Error) return [away(kind === "redis" ? "Redis" : "MySQL", bucket, facts)];
    return look(facts as Exclude<SeenBucket[K], Error>, bucket);
  });
}

const redisCli = ({ place }: SeenBucket, words: string): string =>
  `redis-cli -u ${place.redis.url} ${words}   (the password is the secret redis)`;

export const redis: Check = {
  id: "redis",
  what: "every Redis writes each claim to disk before it answers, and never drops data",
  mend: "see RedisDown in docs/runbook.md",
  run(scene) {
    const faults = eachOf(scene, "redis", (facts: RedisFacts, bucket) => {
      const found: Fault[] = [];
      const fault = (what: string, mend: string): void =>
        void found.push({ what: `Redis of bucket ${bucket.place.id}: ${what}`, mend });
      if (facts.appendOnly === false)
        fault("appendonly is no, expected yes", redisCli(bucket, "config set appendonly yes"));
      if (facts.appendFsync === "everysec")
        fault(
          "appendfsync is everysec, expected always (or no): everysec loses told wins at kill -9",
          redisCli(bucket, "config set appendfsync always"),
        );
      if (!facts.lastWriteOk)
        fault(
          "the last write of its append-only file failed",
          "is its disk full? See DiskNearlyFull in docs/runbook.md",
        );
      if (facts.evictionPolicy !== "noeviction")
        fault(
          `maxmemory-policy is ${facts.evictionPolicy}, expected noeviction`,
          redisCli(bucket, "config set maxmemory-policy noeviction"),
        );
      const need = prizesOf(scene, bucket.place.id) * REDIS_CLAIM_BYTES;
      if (facts.bytesMax > 0 && facts.usedBytes + need > facts.bytesMax)
        fault(
          `${mib(facts.bytesMax - facts.usedBytes)} are free, the prizes may take ${mib(need)}`,
          "a larger node, or more buckets",
        );
      return found;
    });
    const modes = scene.buckets.map(({ redis }) =>
      redis instanceof Error ? "away" : (redis.appendFsync ?? "managed"),
    );
    return { faults, seen: `appendfsync ${[...new Set(modes)].join(", ")}` };
  },
};

export const mysql: Check = {
  id: "mysql",
  what: "every MySQL is writable, keeps each commit on disk, and has our tables",
  mend: "see MysqlDown in docs/runbook.md",
  run(scene) {
    const event = scene.pack.manifest.event.id;
    const faults = eachOf(scene, "mysql", (facts: MysqlFacts, { place }) => {
      const found: Fault[] = [];
      const fault = (what: string, mend: string): void =>
        void found.push({ what: `MySQL of bucket ${place.id}: ${what}`, mend });
      if (facts.readOnly)
        fault("it is read-only", "SET GLOBAL read_only = 0, or point the topology at the primary");
      if (facts.flushAtCommit !== 1)
        fault(
          `innodb_flush_log_at_trx_commit is ${facts.flushAtCommit}, expected 1`,
          "SET GLOBAL innodb_flush_log_at_trx_commit = 1",
        );
      if (!facts.strict)
        fault(
          "sql_mode is not strict: wrong values would be bent, not refused",
          "SET GLOBAL sql_mode = CONCAT(@@GLOBAL.sql_mode, ',STRICT_TRANS_TABLES')",
        );
      const load = `hongbao preprocess load ${scene.topology.packFrom ?? scene.topology.pack}`;
      if (facts.migrationsMissing === null) fault(`it has no database of event ${event}`, load);
      else if (facts.migrationsMissing.length > 0)
        fault(`its tables lack ${listed(facts.migrationsMissing)}`, load);
      return found;
    });
    const versions = scene.buckets.flatMap(({ mysql }) => (mysql instanceof Error ? [] : mysql.version));
    return { faults, seen: listed([...new Set(versions)]) };
  },
};

export const pools: Check = {
  id: "pools",
  what: "every store takes the connections of all processes' pools",
  mend: "raise max_connections (MySQL) or maxclients (Redis)",
  run(scene) {
    const processesOf = (id: string): number => scene.processes.filter(({ bucket }) => bucket === id).length;
    const ofMysql = eachOf(scene, "mysql", (facts: MysqlFacts, { place }) => {
      const need = 2 * processesOf(place.id) * facts.poolSizeMax + CONNECTIONS_ASIDE;
      if (facts.connectionsMax >= need) return [];
      const what = `MySQL of bucket ${place.id} takes ${facts.connectionsMax} connections, its processes may need ${need}`;
      return [{ what, mend: `SET GLOBAL max_connections = ${need * 2}` }];
    });
    const ofRedis = eachOf(scene, "redis", (facts: RedisFacts, bucket) => {
      const need = 2 * processesOf(bucket.place.id) * REDIS_CONNECTIONS_EACH + CONNECTIONS_ASIDE;
      if (facts.connectionsMax === 0 || facts.connectionsMax >= need) return [];
      const what = `Redis of bucket ${bucket.place.id} takes ${facts.connectionsMax} connections, its processes may need ${need}`;
      return [{ what, mend: redisCli(bucket, "config set maxclients 10000") }];
    });
    const used = scene.buckets.flatMap(({ mysql }) => (mysql instanceof Error ? [] : mysql.connections));
    return {
      faults: [...ofMysql, ...ofRedis],
      seen: `${listed(used.map(String))} connections of MySQL in use`,
    };
  },
};

export const ranges: Check = {
  id: "ranges",
  what: "prizes and ranges are the same in pack, MySQL and Redis",
  mend: "hongbao preprocess verify PACK",
  run({ verified, topology }) {
    const pack = topology.packFrom ?? topology.pack;
    if (verified instanceof Error)
      return { faults: [{ what: verified.message, mend: `hongbao preprocess verify ${pack}` }], seen: "" };
    const faults = verified.problems.map((what) => ({
      what,
      mend: `hongbao preprocess load ${pack}   (it refuses once prizes went out; then: hongbao rebuild --bucket ${/^bucket ([a-z0-9-]+)/.exec(what)?.[1] ?? "ID"})`,
    }));
    return {
      faults,
      seen: `${counted(verified.checked.length, "range")} of ${listed(topology.buckets.map(({ id }) => id))}`,
    };
  },
};

export const budget: Check = {
  id: "budget",
  what: "the books balance, and what is won and left stays within the budgets",
  mend: "hongbao audit",
  async run({ topology, secrets, pack, buckets }) {
    const { event, rounds } = pack.manifest;
    const planned = rounds.reduce((sum, { budgetMinor }) => sum + budgetMinor, 0);
    const faults: Fault[] = [];
    if (planned > event.budgetMinor)
      faults.push({
        what: `the rounds give ${formatMoney(planned)} ${event.currency}, the event's budget is ${formatMoney(event.budgetMinor)}`,
        mend: "generate the pack again from a right event file",
      });
    if (buckets.some(({ redis, mysql }) => redis instanceof Error || mysql instanceof Error))
      return { faults: [...faults, "cannot be told while a store is away"], seen: "" };
    const report = await auditAll({ topology, secrets, pack });
    for (const { promise, round, bucket, what } of report.violations.slice(0, 5))
      faults.push({ what: `promise ${promise}, round ${round}, bucket ${bucket}: ${what}` });
    const dead = report.rounds.reduce((sum, round) => sum + round.dead.count, 0);
    if (dead > 0)
      faults.push({
        what: `${counted(dead, "payout")} ${dead === 1 ? "is" : "are"} dead`,
        mend: 'hongbao payout status, then: hongbao payout retry --why "..."',
      });
    return { faults, seen: `${formatMoney(planned)} of ${formatMoney(event.budgetMinor)} ${event.currency}` };
  },
};

function prizesOf({ pack }: Scene, bucket: string): number {
  const own = pack.manifest.ranges.filter((range) => range.bucket === bucket);
  return own.reduce((sum, { count }) => sum + count, 0);
}

export const mib = (bytes: number): string => `${Math.round(bytes / 1_048_576)} MiB`;
