/** The pack: making it, loading it, loading the same rows without us, and starting a service with it. */
import { closeSync, mkdirSync, openSync, writeSync } from "node:fs";
import { join } from "node:path";
import mysql, { type Connection, type RowDataPacket } from "mysql2/promise";
import { setTimeout as sleep } from "node:timers/promises";
import { needBinary } from "../../src/servers/binaries.ts";
import { freePort } from "../../src/processes/ports.ts";
import { startMysql } from "../../src/servers/mysql.ts";
import { startRedis } from "../../src/servers/redis.ts";
import { timeCommand, timeHongbao, type CommandFigures } from "../measure/command.ts";
import { peakBytes, residentBytes } from "../measure/proc.ts";
import type { Sizes } from "../sizes.ts";
import { startPart } from "../systems/hongbao/cluster.ts";
import { bucketPorts, writeEvent, writeTopology, type BucketPorts } from "../systems/hongbao/topology.ts";
import { makeWorld, type World } from "../systems/hongbao/world.ts";

export interface PackFacts {
  prizes: number;
  users: number;
  generate: CommandFigures;
  load: CommandFigures;
  /** The very same rows by LOAD DATA of a file that is there already. */
  bareLoadSeconds: number;
  start: { seconds: number; residentMiB: number; peakMiB: number };
  /** What a prize adds to a service's memory: against the same service with hardly any prizes. */
  bytesPerPrize: number;
}

/** A pack so small that its prizes do not count, with the same users. */
const FEW_PRIZES = 1_000;
const SETTLE_MS = 1_500;
/** The least of some starts: what the collector has not yet swept is not what a prize needs. */
const STARTS = 3;
const MIB = 1024 * 1024;

export async function measurePack(
  dir: string,
  sizes: Sizes,
  tell: (text: string) => void,
): Promise<PackFacts> {
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const world = makeWorld(join(dir, "world"), sizes.packUsers);
  await using begun = new AsyncDisposableStack();
  const buckets = await bucketPorts(2, 1, false);
  const urls = await startStores(dir, world, buckets, begun);
  const small = await makePack(dir, "few", FEW_PRIZES, world, buckets);
  await timeHongbao(["preprocess", "load", small.pack, "--topology", small.topology]);
  tell(`generating ${sizes.packPrizes} prizes`);
  const big = await makePack(dir, "many", sizes.packPrizes, world, buckets);
  tell("loading them");
  const load = await timeHongbao(["preprocess", "load", big.pack, "--topology", big.topology]);
  const bareLoadSeconds = await bareLoad(dir, urls, world.secrets.mysql);
  tell("starting services with them");
  const many = await startService(dir, big.topology, buckets[0]!);
  const few = await startService(dir, small.topology, buckets[0]!);
  return {
    prizes: sizes.packPrizes,
    users: sizes.packUsers,
    generate: big.figures,
    load,
    bareLoadSeconds,
    start: many,
    bytesPerPrize: ((many.residentMiB - few.residentMiB) * 1024 * 1024) / (sizes.packPrizes - FEW_PRIZES),
  };
}

async function startStores(
  dir: string,
  world: World,
  buckets: BucketPorts[],
  begun: AsyncDisposableStack,
): Promise<string[]> {
  return Promise.all(
    buckets.map(async ({ id, redis, mysql: mysqlPort }) => {
      const { secrets } = world;
      const store = await startRedis({ dir: join(dir, "redis", id), port: redis, password: secrets.redis });
      begun.defer(() => store.stop());
      const server = await startMysql({
        dir: join(dir, "mysql", id),
        port: mysqlPort,
        password: secrets.mysql,
        bufferPoolMiB: 512,
      });
      begun.defer(() => server.stop());
      return server.url;
    }),
  );
}

async function makePack(
  dir: string,
  name: string,
  prizes: number,
  world: World,
  buckets: BucketPorts[],
): Promise<{ topology: string; pack: string; figures: CommandFigures }> {
  const home = join(dir, name);
  mkdirSync(home, { recursive: true, mode: 0o700 });
  const event = writeEvent(home, {
    id: `bench-${name}`,
    // By command only: nothing of it is ever handed out, so the next event may be loaded.
    rounds: [1, 2, 3].map((id) => ({ id, count: shareOf(prizes, id), opensAt: "manual" })),
    usersCsv: world.usersCsv,
  });
  const pack = join(home, "pack");
  const topology = writeTopology(join(home, "topology.yaml"), world, {
    buckets,
    balancer: { listen: await freePort(), admin: await freePort() },
    controllerAdmin: await freePort(),
    site: await freePort(),
    pack,
  });
  const figures = await timeHongbao(["preprocess", "generate", event, "--topology", topology, "--out", pack]);
  return { topology, pack, figures };
}

/** Three rounds that add up. */
function shareOf(prizes: number, round: number): number {
  const third = Math.floor(prizes / 3);
  return round < 3 ? third : prizes - 2 * third;
}

/** One LOAD DATA of all rows of all buckets, by the client that comes with the server, into a table of the same form. */
async function bareLoad(dir: string, urls: string[], password: string): Promise<number> {
  const file = join(dir, "rows.tsv");
  const out = openSync(file, "w");
  for (const url of urls) {
    const connection = await mysql.createConnection(`${url}/hongbao_bench_many`);
    await writeRows(connection, out);
    await connection.end();
  }
  closeSync(out);
  const connection = await mysql.createConnection(urls[0]!);
  await connection.query("CREATE DATABASE hongbao_bare");
  await connection.query("CREATE TABLE hongbao_bare.prizes LIKE hongbao_bench_many.prizes");
  // The rows that were just loaded are still on their way to the disk.
  await sleep(SETTLE_MS);
  const words = [
    "--no-defaults",
    "--local-infile=1",
    "-h127.0.0.1",
    `-P${new URL(urls[0]!).port}`,
    "-uhongbao",
  ];
  const sql = `LOAD DATA LOCAL INFILE '${file}' INTO TABLE hongbao_bare.prizes`;
  const { seconds } = await timeCommand(needBinary("mariadb-client", "mariadb"), [...words, "-e", sql], {
    MYSQL_PWD: password,
  });
  await connection.query("DROP DATABASE hongbao_bare");
  await connection.end();
  return seconds;
}

const ROWS_AT_ONCE = 50_000;

async function writeRows(connection: Connection, out: number): Promise<void> {
  for (let after = 0; ;) {
    const sql = `SELECT * FROM prizes WHERE prize_id > ${after} ORDER BY prize_id LIMIT ${ROWS_AT_ONCE}`;
    const [rows] = await connection.query<RowDataPacket[]>({ sql, rowsAsArray: true });
    if (rows.length === 0) return;
    writeSync(out, (rows as unknown as (string | number)[][]).map((row) => `${row.join("\t")}\n`).join(""));
    after = Number((rows.at(-1) as unknown as number[])[0]);
  }
}

/** From the command to a ready admin port; the least of several starts. */
async function startService(dir: string, topology: string, bucket: BucketPorts): Promise<PackFacts["start"]> {
  const service = bucket.services[0]!;
  const words = [
    "bucket",
    "--bucket",
    bucket.id,
    "--service",
    service.id,
    "--roles",
    "grab",
    "--topology",
    topology,
  ];
  const starts: PackFacts["start"][] = [];
  while (starts.length < STARTS) {
    const began = performance.now();
    const child = await startPart("service (start)", words, join(dir, "service.log"), service.admin);
    const seconds = (performance.now() - began) / 1000;
    await sleep(SETTLE_MS);
    starts.push({
      seconds,
      residentMiB: residentBytes([child.pid]) / MIB,
      peakMiB: peakBytes([child.pid]) / MIB,
    });
    await child.stop();
  }
  const least = (name: keyof PackFacts["start"]): number => Math.min(...starts.map((start) => start[name]));
  return { seconds: least("seconds"), residentMiB: least("residentMiB"), peakMiB: least("peakMiB") };
}
