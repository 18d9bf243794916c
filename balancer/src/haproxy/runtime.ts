/** HAProxy's runtime socket: one connection a command, as HAProxy wants it when nobody types. */
import { connect } from "node:net";
import { Unreachable } from "@hongbao/preprocess";

const COMMAND_MS_MAX = 2_000;
const ANSWER_BYTES_MAX = 4 * 1024 * 1024;
/** Commands may be joined by semicolons; the line must fit HAProxy's buffer. */
const JOINED_MAX = 50;

export interface Runtime {
  /** What HAProxy answers. Errors: Unreachable. */
  command(text: string): Promise<string>;
}

/** `socket` is looked up anew for every command, because a new HAProxy has a new one. */
export function openRuntime(socket: () => string): Runtime {
  return { command: (text) => ask(socket(), text) };
}

function ask(path: string, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let answer = "";
    const fail = (why: string): void => {
      socket.destroy();
      reject(new Unreachable(`haproxy runtime socket: ${why}`));
    };
    const socket = connect({ path });
    socket.setTimeout(COMMAND_MS_MAX, () => fail(`no answer to "${text}" within ${COMMAND_MS_MAX} ms`));
    socket.setEncoding("utf8");
    socket.on("error", (error: NodeJS.ErrnoException) => fail(error.code ?? error.message));
    socket.on("data", (chunk: string) => {
      answer += chunk;
      if (answer.length > ANSWER_BYTES_MAX) fail(`the answer to "${text}" is too long`);
    });
    socket.on("close", () => resolve(answer));
    // The end of our words makes the master's socket, too, close after its answer.
    socket.end(`${text}\n`);
  });
}

/** The worker's process ID. A reload is over when it is another one. */
export async function workerPid(runtime: Runtime): Promise<number> {
  const pid = /^Pid: (\d+)$/m.exec(await runtime.command("show info"))?.[1];
  if (pid === undefined) throw new Unreachable("haproxy runtime socket: show info tells no pid");
  return Number(pid);
}

export async function showMap(runtime: Runtime, map: string): Promise<Map<string, string>> {
  const entries = new Map<string, string>();
  for (const line of (await runtime.command(`show map ${map}`)).split("\n")) {
    const [, key, value] = line.split(" ");
    if (key !== undefined && value !== undefined) entries.set(key, value);
  }
  return entries;
}

/** Makes variables of the process what they should be. Errors: Unreachable. */
export async function reconcileVariables(runtime: Runtime, wanted: object): Promise<void> {
  const names = Object.keys(wanted);
  const found = await runtime.command(names.map((name) => `get var ${name}`).join("; "));
  const values = new Map(
    Array.from(found.matchAll(/^(\S+): type=sint value=<(-?\d+)>$/gm), ([, name, value]) => [
      name,
      Number(value),
    ]),
  );
  const commands = Object.entries(wanted).flatMap(([name, value]) =>
    values.get(name) === value ? [] : [`set var ${name} int(${value})`],
  );
  if (commands.length === 0) return;
  // So HAProxy 2.6 calls the command; it is what its successors have without that word.
  const answer = (await runtime.command(["experimental-mode on", ...commands].join("; "))).trim();
  if (answer !== "") throw new Unreachable(`haproxy runtime socket: ${answer}`);
}

/** Requests of the last second that came in at a frontend. Errors: Unreachable. */
export async function requestRate(runtime: Runtime, frontend: string): Promise<number> {
  const [names, values] = (await runtime.command(`show stat ${frontend} 1 -1`)).trim().split("\n");
  return Number(values?.split(",")[names?.split(",").indexOf("req_rate") ?? -1] ?? 0);
}

/**
 * Makes a map what it should be and answers how many entries differed. Each entry is changed in one step, so no request
 * sees a half; asking HAProxy what it has, instead of remembering what it was told, makes restarts nothing special.
 */
export async function reconcileMap(
  runtime: Runtime,
  map: string,
  wanted: Map<string, string>,
): Promise<number> {
  const found = await showMap(runtime, map);
  const commands: string[] = [];
  for (const [key, value] of wanted) {
    if (!found.has(key)) commands.push(`add map ${map} ${key} ${value}`);
    else if (found.get(key) !== value) commands.push(`set map ${map} ${key} ${value}`);
  }
  for (const key of found.keys()) if (!wanted.has(key)) commands.push(`del map ${map} ${key}`);
  for (let from = 0; from < commands.length; from += JOINED_MAX) {
    const answer = (await runtime.command(commands.slice(from, from + JOINED_MAX).join("; "))).trim();
    if (answer !== "") throw new Unreachable(`haproxy runtime socket: ${map}: ${answer}`);
  }
  return commands.length;
}
