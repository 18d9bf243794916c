/** `hongbao round reveal ROUND`: publishes the seed of one closed round, for everybody to check its draw. */
import {
  BadInput,
  commitmentOf,
  confirmAct,
  openPack,
  print,
  printJson,
  readSeed,
  readSeedFile,
  roundSeed,
  seedPath,
  Unreachable,
} from "@hongbao/preprocess";
import { openControllers, type Where } from "./controllers.ts";
import { byDefault, readRound, roundOf } from "./round.ts";

export interface RevealOptions extends Where {
  seedFile?: string;
  by?: string;
  why?: string;
  yes?: boolean;
  json?: boolean;
}

export async function runReveal(roundText: string, options: RevealOptions): Promise<void> {
  const round = readRound(roundText);
  const controllers = openControllers(options);
  const { topology } = controllers;
  const { state } = await roundOf(controllers, round);
  if (state !== "closed")
    throw new BadInput(`round ${round} is ${state}: its seed can be revealed once it is closed`);
  const pack = openPack(topology.pack, { verify: false, memoryBytesMax: 0 });
  const { event, rounds } = pack.manifest;
  pack.close();
  const master = options.seedFile === undefined ? readSeed(topology.pack) : readSeedFile(options.seedFile);
  const place = options.seedFile ?? seedPath(topology.pack);
  if (master === null) throw new Unreachable(`${place}: is not there; give --seed-file`);
  // The master seed does not leave this process: it would reveal the rounds that are still to come.
  const seed = roundSeed(master, round);
  const { commitment } = rounds.find(({ id }) => id === round)!;
  if (commitmentOf(seed) !== commitment) {
    throw new BadInput(
      `${place}: holds another seed than the pack's: round ${round} is committed to ${commitment}`,
    );
  }
  await confirmAct({
    what: [
      `Topology ${topology.path}, event ${event.id}, round ${round}`,
      `Will publish the seed of round ${round} in rounds.json, for good; seeds of other rounds stay secret.`,
    ],
    ask: { word: String(round), yes: options.yes === true },
  });
  const hex = seed.toString("hex");
  await controllers.post(`/admin/rounds/${round}/reveal`, {
    by: options.by ?? byDefault(),
    why: options.why ?? "",
    seed: hex,
  });
  if (options.json) printJson({ round, seed: hex, commitment });
  else {
    print(`round ${round}: seed ${hex}`);
    print(`anybody can check it: hongbao preprocess fair PACK --round ${round} --seed ${hex}`);
  }
}
