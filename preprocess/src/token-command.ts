/** `hongbao token`: signed user tokens for tests and rehearsals. */
import { chmodSync, closeSync, openSync, renameSync, rmSync, writeSync } from "node:fs";
import { resolve } from "node:path";
import { BadInput } from "./errors.ts";
import { openPack } from "./pack.ts";
import { readSecrets } from "./secrets.ts";
import { isUserId } from "./slots.ts";
import { findTopology } from "./state.ts";
import { print, progress, say } from "./terminal.ts";
import { parseDuration } from "./times.ts";
import { signToken } from "./tokens.ts";
import { readTopology } from "./topology.ts";
import type { Topology } from "./topology.ts";
import { allPackUsers } from "./user-table.ts";

export interface TokenOptions {
  all?: boolean;
  out?: string;
  raw?: boolean;
  for: string;
  topology?: string;
  state?: string;
  pack?: string;
}

/** `all`: the pack's users in the order of users.csv; else the users named, who need not be in any list. */
function* userIds(users: string[], options: TokenOptions, topology: Topology): Generator<string> {
  if (!options.all) {
    yield* users;
    return;
  }
  const pack = openPack(options.pack ?? topology.pack);
  pack.close();
  const total = pack.manifest.buckets.reduce((sum, bucket) => sum + bucket.users, 0);
  const bar = progress("tokens", total);
  let done = 0;
  for (const { id } of allPackUsers(pack)) {
    yield id;
    bar.update(++done);
  }
  bar.done();
}

function checkArguments(users: string[], options: TokenOptions): void {
  if (options.all && users.length > 0) throw new BadInput("found both users and --all, expected one of them");
  if (!options.all && users.length === 0) throw new BadInput("found no user, expected user IDs or --all");
  const bad = users.find((user) => !isUserId(user));
  if (bad !== undefined) {
    throw new BadInput(`user: found ${JSON.stringify(bad)}, expected 1 to 64 of A-Z a-z 0-9 . _ -`);
  }
}

/** Runs the command. Throws BadInput for wrong arguments, Unreachable without topology, secret or pack. */
export function runToken(users: string[], options: TokenOptions): void {
  checkArguments(users, options);
  const validMs = parseDuration(options.for, "--for");
  const topology = readTopology(findTopology(options.topology, options.state));
  const secret = readSecrets(topology, ["token"]).token[0]!;
  const expSeconds = Math.floor((Date.now() + validMs) / 1000);
  const lineOf = (user: string): string => {
    const token = signToken(user, secret, expSeconds);
    return options.raw ? token : `${user}\t${token}`;
  };
  if (options.out === undefined) {
    for (const user of userIds(users, options, topology)) print(lineOf(user));
    return;
  }
  const path = resolve(options.out);
  const count = writePrivate(path, userIds(users, options, topology), lineOf);
  say(`${count} tokens, valid for ${options.for}, are in ${path}`);
}

/** Writes a file that only its owner may read (0600), in one step. Returns the number of lines. */
function writePrivate(path: string, users: Iterable<string>, lineOf: (user: string) => string): number {
  const draft = `${path}.draft-${process.pid}`;
  const file = openSync(draft, "w", 0o600);
  let count = 0;
  try {
    chmodSync(draft, 0o600);
    let waiting: string[] = [];
    for (const user of users) {
      waiting.push(lineOf(user), "\n");
      count++;
      if (waiting.length < 2048) continue;
      writeSync(file, waiting.join(""));
      waiting = [];
    }
    writeSync(file, waiting.join(""));
    renameSync(draft, path);
    return count;
  } finally {
    closeSync(file);
    rmSync(draft, { force: true });
  }
}
