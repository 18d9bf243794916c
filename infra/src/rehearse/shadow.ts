/** The shadow round of a rehearsal: `hongbao shadow hold` keeps it for as long as we are there, and wipes it when we go. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { BadInput, HongbaoError, print, type ShadowSpec, type Topology } from "@hongbao/preprocess";
import { errorLine, hongbaoWords, runHongbao } from "../cluster/hongbao.ts";
import type { RehearseCommandOptions } from "../commands.ts";
import { dieWithParent } from "../processes/child.ts";
import type { RehearsedRound } from "./rehearse.ts";

export interface HeldShadow {
  spec: ShadowSpec;
  event: string;
  round: RehearsedRound;
  /** Closes and wipes it. Throws when that did not go well. */
  end(): Promise<void>;
}

type Words = Pick<
  RehearseCommandOptions,
  "shadow" | "like" | "prizes" | "clear" | "round" | "users" | "wipe"
>;

/** Throws BadInput for options that do not go together. */
export function checkShadowOptions(options: Words): void {
  if (options.users === undefined)
    throw new BadInput("--users: found none, expected how many users take part");
  if (options.shadow) {
    if (options.round !== undefined)
      throw new BadInput(
        "--round: found it with --shadow, expected --like: a shadow is no round of the event",
      );
    return;
  }
  for (const name of ["like", "prizes", "clear"] as const)
    if (options[name] !== undefined) throw new BadInput(`--${name}: found it without --shadow`);
}

/** Returns when the round is open. Throws what refuses it, with its exit code. */
export async function holdShadow(topology: Topology, { like, prizes, clear }: Words): Promise<HeldShadow> {
  const values = { like, prizes, clear };
  const chosen = Object.entries(values).flatMap(([name, value]) =>
    value === undefined ? [] : [`--${name}`, value],
  );
  const args = ["shadow", "hold", "--topology", topology.path, ...chosen];
  const words = hongbaoWords(args);
  const wrapped = dieWithParent(words.command, words.args);
  const child = spawn(wrapped.command, wrapped.args, {
    stdio: ["pipe", "pipe", "pipe"],
    // A group of its own: Ctrl-C is ours, and it ends when we let go.
    detached: true,
    env: { ...process.env, ...words.env },
  });
  let said = "";
  let errors = "";
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
    errors = (errors + chunk).slice(-65_536);
    process.stderr.write(chunk);
  });
  const closed = once(child, "close") as Promise<[number | null]>;
  const failed = (code: number | null): HongbaoError => new HongbaoError(errorLine(errors, args), code ?? 1);
  const told = new Promise<Pick<HeldShadow, "spec" | "event" | "round">>((resolve) => {
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
      said += chunk;
      if (/^\}$/m.test(said)) resolve(JSON.parse(said) as HeldShadow);
    });
  });
  const first = await Promise.race([told, closed.then(([code]) => failed(code))]);
  if (first instanceof HongbaoError) throw first;
  return {
    ...first,
    // It is open already; its key is on its way.
    round: { ...first.round, opensAt: null },
    async end() {
      child.stdin.end();
      const [code] = await closed;
      if (code !== 0) throw failed(code);
    },
  };
}

/** `rehearse --wipe`. */
export async function wipeShadow({ topology, state, json }: RehearseCommandOptions): Promise<void> {
  const at = [...(topology ? ["--topology", topology] : []), ...(state ? ["--state", state] : [])];
  const { stdout } = await runHongbao(["shadow", "wipe", ...at, ...(json ? ["--json"] : [])]);
  print(stdout.trimEnd());
}
