/** What all clusters of a bench share: users, their tokens, and the secrets that the tokens are signed with. */
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { closeSync, mkdirSync, openSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { SECRET_NAMES, signToken, slotOf, type SecretName } from "@hongbao/preprocess";
import { slotsOf } from "../../../src/cluster/layout.ts";

export interface World {
  dir: string;
  users: number;
  secrets: Record<SecretName, string>;
  /** One file for each secret, named after it. */
  secretsDir: string;
  usersCsv: string;
  /** User IDs, one a line. */
  idsFile: string;
  /** Tokens, one a line, in the order of the users. */
  tokensFile: string;
  /** Tokens of the users of the first of two buckets. */
  firstBucketTokensFile: string;
  firstBucketUsers: number;
  /** A key and a certificate for localhost, in one file. */
  certificate: string;
}

const TOKEN_HOURS = 24;
/** Written in pieces, so that a million users cost no memory. */
const LINES_AT_ONCE = 10_000;
/** The bench's clusters have two buckets, cut as `up` cuts them. */
const BUCKETS = 2;

export const AUTHORIZATION = "Authorization: Bearer ";

export function makeWorld(dir: string, users: number): World {
  const secretsDir = join(dir, "secrets");
  mkdirSync(secretsDir, { recursive: true, mode: 0o700 });
  const secrets = Object.fromEntries(
    SECRET_NAMES.map((name) => [name, randomBytes(32).toString("hex")]),
  ) as Record<SecretName, string>;
  for (const name of SECRET_NAMES)
    writeFileSync(join(secretsDir, name), `${secrets[name]}\n`, { mode: 0o600 });
  const world: World = {
    dir,
    users,
    secrets,
    secretsDir,
    usersCsv: join(dir, "users.csv"),
    idsFile: join(dir, "ids.txt"),
    tokensFile: join(dir, "tokens.txt"),
    firstBucketTokensFile: join(dir, "tokens-b0.txt"),
    firstBucketUsers: 0,
    certificate: makeCertificate(dir),
  };
  world.firstBucketUsers = writeUsers(world);
  return world;
}

export function userId(index: number): string {
  return `u${String(index).padStart(7, "0")}`;
}

function writeUsers(world: World): number {
  const expSeconds = Math.floor(Date.now() / 1000) + TOKEN_HOURS * 3600;
  const [, lastSlot] = slotsOf(0, BUCKETS);
  const files = [world.usersCsv, world.idsFile, world.tokensFile, world.firstBucketTokensFile].map((path) =>
    openSync(path, "w", 0o600),
  );
  let texts = ["id,name,group\n", "", "", ""];
  let firstBucketUsers = 0;
  for (let index = 1; index <= world.users; index++) {
    const id = userId(index);
    const token = signToken(id, world.secrets.token, expSeconds);
    texts[0] += `${id},User ${index},staff\n`;
    texts[1] += `${id}\n`;
    texts[2] += `${token}\n`;
    if (slotOf(id) <= lastSlot) {
      texts[3] += `${token}\n`;
      firstBucketUsers += 1;
    }
    if (index % LINES_AT_ONCE === 0 || index === world.users) {
      texts.forEach((text, file) => writeSync(files[file]!, text));
      texts = ["", "", "", ""];
    }
  }
  for (const file of files) closeSync(file);
  return firstBucketUsers;
}

/** P-256: half the price of RSA for a handshake. */
function makeCertificate(dir: string): string {
  const path = join(dir, "certificate.pem");
  const words =
    "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost";
  execFileSync("openssl", [...words.split(" "), "-keyout", path, "-out", `${path}.crt`], { stdio: "ignore" });
  const certificate = execFileSync("cat", [path, `${path}.crt`]);
  writeFileSync(path, certificate, { mode: 0o600 });
  return path;
}
