/** `hongbao preprocess fair`: the check of a draw, from a pack and a revealed seed. */
import { BadInput, CheckFailed, Unreachable } from "./errors.ts";
import { checkFair } from "./fair.ts";
import { formatMoney } from "./money.ts";
import { openPack } from "./pack.ts";
import { findTopology } from "./state.ts";
import { print, printJson, progress } from "./terminal.ts";
import { readTopology } from "./topology.ts";

export interface FairOptions {
  round: string;
  seed?: string;
  url?: string;
  topology?: string;
  state?: string;
  json?: boolean;
}

const FETCH_MS_MAX = 10_000;
const BYTES_MAX = 1_000_000;

/** Throws CheckFailed naming the first difference. */
export async function runFair(packDir: string, options: FairOptions): Promise<void> {
  const pack = openPack(packDir, { verify: true });
  try {
    const { event, rounds } = pack.manifest;
    const round = rounds.find(({ id }) => String(id) === options.round);
    if (round === undefined) {
      const known = rounds.map(({ id }) => id).join(", ");
      throw new BadInput(`--round: found "${options.round}", expected one of ${known} (${pack.dir})`);
    }
    // With both, the seed is the one given and the commitment the published one.
    const isPublished = options.seed === undefined || options.url !== undefined;
    const published = isPublished ? await fetchRound(options, event.id, round.id) : undefined;
    const seed = parseSeed(options.seed ?? published?.seed ?? null, round.id);
    const bar = progress("prizes", round.count);
    const verdict = checkFair(pack, round.id, seed, published?.commitment, (done) => bar.update(done));
    bar.done();
    if (options.json) printJson({ round: round.id, commitment: round.commitment, ...verdict });
    if (!verdict.fair) throw new CheckFailed(`round ${round.id}: ${verdict.why}`);
    if (!options.json) {
      const worth = `${formatMoney(verdict.amountMinor)} ${event.currency}`;
      print(`round ${round.id} is fair: ${verdict.prizes} prizes worth ${worth} are what the seed draws,`);
      print(`and the seed is the one that was committed to (${round.commitment})`);
    }
  } finally {
    pack.close();
  }
}

function parseSeed(hex: string | null, round: number): Buffer {
  if (hex === null)
    throw new Unreachable(`round ${round}: its seed is not revealed yet; give --seed once it is`);
  if (!/^[0-9a-f]{64}$/i.test(hex))
    throw new BadInput(
      `--seed: found ${hex.length} characters, expected 64 hex digits: the round's revealed seed`,
    );
  return Buffer.from(hex, "hex");
}

async function fetchRound(
  options: FairOptions,
  event: string,
  round: number,
): Promise<{ commitment: string; seed: string | null }> {
  const url =
    options.url ?? `${readTopology(findTopology(options.topology, options.state)).balancer.url}/rounds.json`;
  const text = await fetchText(url);
  try {
    const schedule = JSON.parse(text) as {
      event: string;
      rounds: { id: number; commitment: string; seed?: string }[];
    };
    const found = schedule.rounds.find(({ id }) => id === round);
    if (schedule.event === event && typeof found?.commitment === "string")
      return { commitment: found.commitment, seed: found.seed ?? null };
  } catch {
    // Told below, together with what is another event's.
  }
  throw new BadInput(
    `${url}: found something else, expected the rounds.json of event ${event} with round ${round}`,
  );
}

async function fetchText(url: string): Promise<string> {
  if (!/^https?:\/\//.test(url)) throw new BadInput(`--url: found "${url}", expected http://… or https://…`);
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(FETCH_MS_MAX) });
    if (!response.ok) throw new Unreachable(`${url}: answered ${response.status}`);
    const text = await response.text();
    if (text.length > BYTES_MAX) throw new BadInput(`${url}: found more than ${BYTES_MAX} characters`);
    return text;
  } catch (error) {
    if (error instanceof BadInput || error instanceof Unreachable) throw error;
    const cause = (error as { cause?: { code?: string } }).cause?.code ?? (error as Error).name;
    throw new Unreachable(`${url}: ${cause}`);
  }
}
