import {
  appendFileSync,
  cpSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import t from "tap";
import type { Test } from "tap";
import {
  allPackUsers,
  BadInput,
  bucketOf,
  loadUserTable,
  openPack,
  readPackUsers,
  readSchedule,
  readTopology,
  requireSameBuckets,
  sha256Hex,
  Unreachable,
} from "../src/index.ts";
import {
  bucketText,
  eventText,
  ITEM,
  makePack,
  SEED,
  temporaryDir,
  writeEvent,
  writeTopology,
} from "./fixtures.ts";

/** A pack of three rounds for 200 users in two buckets, the first round for staff only. */
async function setUp(t: Test): Promise<string> {
  const dir = temporaryDir(t);
  const event = eventText([
    {
      count: "1000",
      budget: "5000.00",
      groups: "[staff]",
      opensAt: "2027-02-05T20:00:00+08:00",
      closesAt: "+10m",
    },
    { ...ITEM, id: "2", count: "1" },
    { id: "7", count: "9", budget: "9.05", split: "{ method: equal }", opensAt: "manual" },
  ]);
  writeEvent(dir, { event });
  writeTopology(dir);
  await makePack(dir);
  return join(dir, "pack");
}

t.test("a pack gives back what was planned, to the cent", async (t) => {
  const pack = openPack(await setUp(t));
  const { manifest, firstId } = pack;
  t.equal(firstId, 1_000_001);
  t.equal(pack.prizeCount, 1010);
  t.equal(pack.digest, sha256Hex(readFileSync(join(pack.dir, "pack.json"))));
  t.match(manifest, { format: 1, groups: ["staff", "family"], greetings: 2 });
  t.match(manifest.event, {
    id: "party",
    budgetMinor: 100_000_000,
    currency: "CNY",
    ack: "journal",
    journalMax: 200_000,
  });
  let next = firstId;
  for (const range of manifest.ranges) {
    t.equal(range.lo, next, "IDs without a gap");
    next += range.count;
    let sum = 0;
    for (let id = range.lo; id < next; id++) {
      sum += pack.amountOf(id);
      t.same(pack.originOf(id), { round: range.round, bucket: range.bucket }, { diagnostic: false });
    }
    t.equal(sum, range.amountMinor);
  }
  t.equal(next, firstId + 1010);
  const amountOf = (round: number): number =>
    manifest.ranges
      .filter((range) => range.round === round)
      .reduce((sum, range) => sum + range.amountMinor, 0);
  t.same([1, 2, 7].map(amountOf), [500_000, 0, 905]);
  t.same(
    manifest.ranges
      .filter(({ round }) => round === 2)
      .map(({ count }) => count)
      .sort(),
    [0, 1],
  );
  const equal = Array.from({ length: 9 }, (_each, index) => pack.amountOf(firstId + 1001 + index));
  t.same([Math.min(...equal), Math.max(...equal)], [100, 101]);
  pack.close();
});

t.test("only generated IDs are held", async (t) => {
  const pack = openPack(await setUp(t));
  for (const id of [0, -1, 1_000_000, 1_001_011, 1_000_001.5, NaN, Infinity]) {
    t.notOk(pack.holds(id));
    for (const look of ["amountOf", "greetingOf", "roundOf", "originOf"] as const)
      t.throws(() => pack[look](id), RangeError);
  }
  t.ok(pack.holds(1_000_001) && pack.holds(1_001_010));
  t.same([pack.roundOf(1_000_001), pack.roundOf(1_001_001), pack.roundOf(1_001_010)], [1, 2, 7]);
});

t.test("a pack larger than the memory given is read page by page, with the same answers", async (t) => {
  const dir = await setUp(t);
  const [whole, paged] = [openPack(dir), openPack(dir, { memoryBytesMax: 1000 })];
  for (let id = whole.firstId; id < whole.firstId + whole.prizeCount; id++) {
    if (whole.amountOf(id) !== paged.amountOf(id) || whole.greetingOf(id) !== paged.greetingOf(id))
      t.fail(`prize ${id}`);
  }
  t.same(
    new Set([paged.greetingOf(1_000_001), paged.greetingOf(1_000_002), paged.greetingOf(1_000_003)]).size <=
      2,
    true,
  );
  paged.close();
});

t.test("users are in their bucket, in the list's order, with their group", async (t) => {
  const pack = openPack(await setUp(t));
  const all = [...allPackUsers(pack)];
  t.same(
    all.map(({ id }) => id),
    Array.from({ length: 200 }, (_each, index) => `u${index + 1}`),
  );
  t.equal(pack.manifest.groups[all[2]!.group], "family");
  let users = 0;
  pack.manifest.buckets.forEach(({ id, users: count }, index) => {
    const list = readPackUsers(pack, id);
    t.equal(list.count, count);
    t.ok([...list].every((user) => bucketOf(pack.manifest, user.id) === index));
    users += count;
  });
  t.equal(users, 200);
  t.throws(() => readPackUsers(pack, "b9"), { message: /found no bucket "b9", expected one of b0, b1/ });
});

t.test("a user table knows who may take part", async (t) => {
  const pack = openPack(await setUp(t));
  const tables = ["b0", "b1"].map((id) => loadUserTable(pack, id));
  const ask = (user: string, round: number): boolean =>
    tables[bucketOf(pack.manifest, user)]!.mayTakePart(user, round);
  t.ok(ask("u1", 1), "staff in a round for staff");
  t.notOk(ask("u3", 1), "family in a round for staff");
  t.ok(ask("u3", 2) && ask("u3", 7), "everyone in a round for everyone");
  t.notOk(ask("u1", 3), "an unknown round");
  t.notOk(ask("u201", 2) || ask("U1", 2) || ask("", 2), "unknown users");
  const other = tables[1 - bucketOf(pack.manifest, "u1")]!;
  t.notOk(other.mayTakePart("u1", 2), "a user of another bucket");
  t.equal(other.groupOf("u1"), -1);
  t.equal(tables[0]!.size + tables[1]!.size, 200);
});

t.test("the schedule is kept as written, and is no part of the digest", async (t) => {
  const dir = temporaryDir(t);
  writeTopology(dir);
  writeEvent(dir, { event: eventText([{ opensAt: "manual", closesAt: "+10m" }]) });
  const { digest } = await makePack(dir);
  t.same(readSchedule(join(dir, "pack")).get(1), {
    opensAt: { kind: "manual" },
    closesAt: { kind: "afterOpening", ms: 600_000 },
  });
  writeEvent(dir, { event: eventText([{ opensAt: "now+1m", closesAt: "+10m" }]) });
  const again = await makePack(dir);
  t.same([again.digest, again.outcome], [digest, "same"]);
  t.same(
    readSchedule(join(dir, "pack")).get(1)?.opensAt,
    { kind: "after", ms: 60_000 },
    "the new time is there",
  );
  openPack(join(dir, "pack")).verifyFiles();
});

t.test("no byte of a pack can change unnoticed", async (t) => {
  const dir = await setUp(t);
  for (const name of readdirSync(dir)) {
    const path = join(dir, name);
    const whole = readFileSync(path);
    // Every byte of small files, a spread of those of large ones, always the first and the last.
    const step = Math.max(1, Math.floor(whole.length / 150));
    const places = [...Array(Math.ceil(whole.length / step)).keys()]
      .map((i) => i * step)
      .concat(whole.length - 1);
    const unnoticed = places.filter((at) => {
      const bytes = Buffer.from(whole);
      bytes[at]! ^= 1 << (at % 8);
      writeFileSync(path, bytes);
      return !isRefused(dir, name);
    });
    t.same(unnoticed, [], name);
    truncateSync(path, whole.length - 1);
    t.ok(isRefused(dir, name), `${name} cut`);
    truncateSync(path, 0);
    t.ok(isRefused(dir, name), `${name} empty`);
    writeFileSync(path, Buffer.concat([whole, Buffer.from("x")]));
    t.ok(isRefused(dir, name), `${name} longer`);
    rmSync(path);
    t.ok(isRefused(dir, name), `${name} missing`);
    writeFileSync(path, whole);
    openPack(dir).close();
  }
});

/** Whether opening fails as bad input that names the file (a damaged list of digests may name what it lists). */
function isRefused(dir: string, name: string): boolean {
  try {
    openPack(dir).close();
    return false;
  } catch (error) {
    if (!(error instanceof BadInput)) throw error;
    return error.message.includes(name) || name === "SHA256SUMS";
  }
}

t.test("damage that comes after the opening is found when asked for", async (t) => {
  const pack = openPack(await setUp(t));
  pack.verifyFiles();
  appendFileSync(join(pack.dir, "greetings.u16"), "x");
  t.throws(() => pack.verifyFiles(), {
    message: /greetings\.u16: is damaged: found 2021 bytes, expected 2020/,
  });
});

t.test("without digests a pack opens faster, and a cut file is still refused", async (t) => {
  const dir = await setUp(t);
  const path = join(dir, "amounts.u32");
  const bytes = readFileSync(path);
  bytes[0]! ^= 1;
  writeFileSync(path, bytes);
  openPack(dir, { verify: false }).close();
  truncateSync(path, 4);
  t.throws(() => openPack(dir, { verify: false }), { message: /amounts\.u32: is damaged: found 4 bytes/ });
});

t.test("a pack of another format is refused", async (t) => {
  const dir = await setUp(t);
  const path = join(dir, "pack.json");
  writeFileSync(path, readFileSync(path, "utf8").replace('"format": 1', '"format": 2'));
  t.throws(() => openPack(dir), { message: /pack\.json: format: found 2, expected 1/ });
});

t.test("where there is no pack nothing is reachable", async (t) => {
  t.throws(() => openPack(join(temporaryDir(t), "pack")), Unreachable);
  t.throws(() => openPack("s3://bucket/pack"), Unreachable);
});

t.test("a pack for other buckets than the topology's is refused", async (t) => {
  const dir = await setUp(t);
  const pack = openPack(dir);
  const topology = readTopology(join(dir, "..", "topology.yaml"));
  requireSameBuckets(pack, topology);
  const other = temporaryDir(t);
  const moved = readTopology(
    writeTopology(other, {}, [bucketText(0, "[[0, 510]]"), bucketText(1, "[[511, 1023]]")]),
  );
  t.throws(() => requireSameBuckets(pack, moved), {
    message:
      /found a pack for b0 0-511; b1 512-1023, expected one for b0 0-510; b1 511-1023 as in .*topology\.yaml/,
  });
});

t.test("the seed is nowhere in the pack", async (t) => {
  const dir = await setUp(t);
  for (const name of readdirSync(dir)) {
    const bytes = readFileSync(join(dir, name));
    t.equal(bytes.indexOf(Buffer.from(SEED, "hex")), -1);
    t.equal(bytes.toString("latin1").toLowerCase().indexOf(SEED), -1);
  }
});

t.test("copied elsewhere a pack is the same pack", async (t) => {
  const dir = await setUp(t);
  const copy = join(temporaryDir(t), "copy");
  cpSync(dir, copy, { recursive: true });
  t.equal(openPack(copy).digest, openPack(dir).digest);
  t.notMatch(readFileSync(join(copy, "pack.json"), "utf8"), dir, "no path of this machine is in it");
});
