/** Sizes and times are bounded: who is slow, idle or large keeps nobody else waiting. And what is secret stays so. */
import { readdirSync, readFileSync, readlinkSync, statSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Test } from "tap";
import { processesIn } from "@hongbao/infra";
import { inParallel, raw, ROUND, type Scene } from "./scene.ts";

/** Longer than any time-out on the way but that of idle connections; in full HONGBAO_TEST_KEPT_MS=60000. */
const KEPT_MS = Number(process.env["HONGBAO_TEST_KEPT_MS"] ?? 11_000);

interface Held {
  socket: Socket;
  isClosed: boolean;
  text: string;
}

function hold(port: number, bytes: string): Promise<Held> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    const held: Held = { socket, isClosed: false, text: "" };
    socket.setEncoding("latin1").on("data", (chunk: string) => (held.text += chunk));
    socket.on("error", () => undefined);
    socket.on("close", () => {
      held.isClosed = true;
      resolve(held);
    });
    socket.on("connect", () => {
      if (bytes !== "") socket.write(bytes);
      resolve(held);
    });
  });
}

async function holdMany(port: number, count: number, bytes: string): Promise<Held[]> {
  const all: Held[] = [];
  await inParallel(count, 64, async () => void all.push(await hold(port, bytes)));
  return all;
}

/** People who press meanwhile: all are answered, and nobody waits long. */
async function others(t: Test, scene: Scene, what: string): Promise<void> {
  const slowestMs = { grab: 0, wins: 0 };
  await inParallel(40, 8, async (index) => {
    const headers = scene.bearer(scene.users[index]!);
    const beganMs = performance.now();
    const grab = await scene.ask(`/v1/rounds/${ROUND.shut}/grab?k=x`, { method: "POST", headers });
    slowestMs.grab = Math.max(slowestMs.grab, performance.now() - beganMs);
    const wins = await scene.ask("/v1/wins", { headers });
    slowestMs.wins = Math.max(slowestMs.wins, performance.now() - beganMs);
    if (grab.json?.result !== "not_open" || wins.status !== 200)
      t.match({ grab, wins }, { grab: { status: 403 } }, what);
  });
  t.comment(
    `${what}: slowest grab ${slowestMs.grab.toFixed(0)} ms, with wins ${slowestMs.wins.toFixed(0)} ms`,
  );
  t.ok(slowestMs.wins < 5_000, `${what}: the others are answered`);
}

export async function slowAndLarge(t: Test, scene: Scene, idle: number): Promise<void> {
  const user = scene.users[7]!;
  const head = `POST /v1/receipts HTTP/1.1\r\nHost: x\r\nAuthorization: ${scene.bearer(user).authorization}\r\n`;
  const slow = {
    "no byte at all": "",
    "half a line": "GET /v1/wi",
    "a head without an end": `${head}X-Slow: `,
    "a body that does not come": `${head}Content-Length: 1000\r\n\r\n[`,
    "chunks that do not come": `${head}Transfer-Encoding: chunked\r\n\r\n5\r\n["`,
    "a large body that stops": `${head}Transfer-Encoding: chunked\r\n\r\n8000\r\n["${"x".repeat(30_000)}`,
  };
  // Kept connections that nobody uses, as from an office full of open pages: they must be there a minute later.
  const kept = await holdMany(scene.port, idle, "GET /v1/nothing HTTP/1.1\r\nHost: x\r\n\r\n");
  const isKept = (): number =>
    kept.filter(({ text, isClosed }) => text.startsWith("HTTP/1.1 404") && !isClosed).length;
  const keptAtMs = performance.now();
  while (isKept() < idle && performance.now() < keptAtMs + 60_000) await sleep(50);
  t.equal(isKept(), idle, `${idle} idle connections`);
  const held: [string, Held[]][] = [];
  for (const [what, bytes] of Object.entries(slow)) held.push([what, await holdMany(scene.port, 60, bytes)]);
  await others(t, scene, "slow clients");
  const endMs = performance.now() + 20_000;
  const open = (): string[] =>
    held.filter(([, all]) => all.some(({ isClosed }) => !isClosed)).map(([what]) => what);
  while (open().length > 0 && performance.now() < endMs) await sleep(100);
  t.same(
    open(),
    [],
    `all of them are closed after ${((performance.now() - endMs + 20_000) / 1000).toFixed(1)} s`,
  );
  for (const [what, all] of held) {
    if (all.some(({ text }) => /^HTTP\/1.1 200/.test(text) || /<html/i.test(text)))
      t.fail(`${what}: ${all[0]!.text}`);
  }

  const megabyte = "x".repeat(1_000_000);
  for (const [what, bytes] of Object.entries({
    "a grab with 1 MB": `POST /v1/rounds/${ROUND.shut}/grab?k=x HTTP/1.1\r\nHost: x\r\nAuthorization: ${scene.bearer(user).authorization}\r\nContent-Length: 1000000\r\n\r\n${megabyte}`,
    "receipts of 1 MB": `${head}Content-Length: 1000000\r\n\r\n${megabyte}`,
    "receipts of 1 MB in chunks": `${head}Transfer-Encoding: chunked\r\n\r\nf4240\r\n${megabyte}\r\n0\r\n\r\n`,
    "1 MB of headers": `${head}${`X-A: ${"a".repeat(900)}\r\n`.repeat(1_100)}\r\n`,
  })) {
    const answer = await raw(scene.port, bytes);
    t.match(answer, /^(HTTP\/1\.1 (400|403) |$)/, what);
  }
  await others(t, scene, "large requests");
  await sleep(Math.max(0, keptAtMs + KEPT_MS - performance.now()));
  t.equal(isKept(), idle, `they are there after ${KEPT_MS / 1000} s`);
  await others(t, scene, `${idle} idle connections`);
  for (const { socket } of kept) socket.destroy();
}

/** Files of a cluster in which a secret has to stand; only their owner may read them. */
const SECRET_PLACES = /\/(secrets\/[a-z]+|redis\/[^/]+\/redis\.conf|pack\.seed|PACK\.seed)$/;

export function secretsStaySecret(t: Test, scene: Scene): void {
  const { state } = scene.cluster;
  const values = Object.entries(scene.secrets).flatMap(([name, value]: [string, string | string[]]) =>
    [value].flat().map((text) => [name, text] as const),
  );
  const tokens = scene.users.slice(0, 40).map((user) => scene.token(user).slice(0, 60));
  for (const { pid, command } of processesIn(state)) {
    for (const [name, secret] of values)
      if (command.includes(secret)) t.fail(`process ${pid} shows the ${name} secret`);
    const environ = readFileSync(`/proc/${pid}/environ`, "latin1");
    const isHaproxy = /(^|\/)haproxy /.test(command);
    for (const [name, secret] of values) {
      // HAProxy takes its two keys by its environment, which only its owner and root may read.
      if (environ.includes(secret) && !(isHaproxy && ["token", "spop"].includes(name)))
        t.fail(`the environment of ${command.slice(0, 80)} holds the ${name} secret`);
    }
  }
  let files = 0;
  for (const entry of readdirSync(state, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    // MariaDB's own files hold a hash of its password.
    if (!entry.isFile() || path.startsWith(join(state, "mysql"))) continue;
    files += 1;
    const text = readFileSync(path, "latin1");
    const isPlace = SECRET_PLACES.test(path);
    if (isPlace) {
      if ((statSync(path).mode & 0o077) !== 0) t.fail(`${path} is open to others`);
      continue;
    }
    for (const [name, secret] of values)
      if (text.includes(secret)) t.fail(`${path} holds the ${name} secret`);
    // What `up` prints are links for three users, to try it.
    if (entry.name === "up.log") continue;
    for (const token of tokens) if (text.includes(token)) t.fail(`${path} holds a user's token`);
  }
  t.ok(files > 20, `${files} files and all processes show no secret`);
  t.same(
    listeners(state).filter((address) => !address.startsWith("127.0.0.1:")),
    [],
    "nobody listens beyond loopback",
  );
}

/** Addresses on which processes of this state listen. */
function listeners(state: string): string[] {
  const inodes = new Set<string>();
  for (const { pid } of processesIn(state)) {
    for (const fd of readdirSync(`/proc/${pid}/fd`)) {
      try {
        const inode = /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`))?.[1];
        if (inode !== undefined) inodes.add(inode);
      } catch {
        // Closed in the meantime.
      }
    }
  }
  return ["tcp", "tcp6"].flatMap((family) =>
    readFileSync(`/proc/net/${family}`, "utf8")
      .split("\n")
      .slice(1)
      .map((line) => line.trim().split(/\s+/))
      .filter((fields) => fields[3] === "0A" && inodes.has(fields[9]!))
      .map((fields) => addressOf(fields[1]!)),
  );
}

/** `0100007F:1F90` is 127.0.0.1:8080. */
function addressOf(text: string): string {
  const [host, port] = text.split(":") as [string, string];
  const bytes =
    host.length === 8 ? (host.match(/../g) ?? []).toReversed().map((byte) => parseInt(byte, 16)) : [host];
  return `${bytes.join(".")}:${parseInt(port, 16)}`;
}
