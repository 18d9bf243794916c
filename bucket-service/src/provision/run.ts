import { resolve } from "node:path";
import {
  BadInput,
  CheckFailed,
  confirmAct,
  findTopology,
  openPack,
  print,
  printJson,
  progress,
  readSecrets,
  readTopology,
  say,
  type Topology,
} from "@hongbao/preprocess";
import type { LoadOptions, VerifyOptions } from "../commands.ts";
import { loadPack } from "./load.ts";
import { verifyPack } from "./verify.ts";

function topologyOf(options: VerifyOptions): Topology {
  return readTopology(findTopology(options.topology, options.state));
}

/** `hongbao preprocess load`. */
export async function runLoad(packDir: string, options: LoadOptions): Promise<void> {
  const opensInSeconds = options.opensIn === undefined ? undefined : Number(options.opensIn);
  if (opensInSeconds !== undefined && !(opensInSeconds >= 0 && opensInSeconds < 366 * 86_400)) {
    throw new BadInput(`--opens-in: found ${options.opensIn}, expected seconds from 0`);
  }
  const topology = topologyOf(options);
  const pack = openPack(resolve(packDir), { verify: true });
  const { event, rounds } = pack.manifest;
  await confirmAct({
    what: [
      `loading event ${event.id} (${pack.prizeCount} prizes, rounds ${rounds.map(({ id }) => id).join(", ")}) into buckets ` +
        `${topology.buckets.map(({ id }) => id).join(", ")} of ${topology.path}`,
    ],
  });
  const bar = progress("load", pack.prizeCount);
  const report = await loadPack({
    pack,
    topology,
    secrets: readSecrets(topology),
    ...(opensInSeconds === undefined ? {} : { opensInSeconds }),
    onProgress: (rows) => bar.update(rows),
  });
  bar.done();
  for (const notice of report.notices) say(notice);
  if (options.json) return printJson(report);
  for (const { bucket, prizes, resumed } of report.buckets) {
    print(
      `bucket ${bucket}: ${prizes} prizes${report.unchanged ? ", there already" : resumed ? ", resumed" : ""}`,
    );
  }
  for (const { round, opensAt, closesAt } of report.times) {
    print(`round ${round}: opens ${opensAt ?? "by command"}, closes ${closesAt ?? "by command"}`);
  }
}

/** `hongbao preprocess verify`. */
export async function runVerify(packDir: string, options: VerifyOptions): Promise<void> {
  const topology = topologyOf(options);
  const pack = openPack(resolve(packDir), { verify: true });
  const report = await verifyPack(pack, topology, readSecrets(topology));
  if (options.json) printJson(report);
  else {
    for (const row of report.checked) {
      print(
        `bucket ${row.bucket} round ${row.round}: ${row.prizes} prizes worth ${row.amountMinor}, ${row.left} left`,
      );
    }
    for (const problem of report.problems) print(problem);
  }
  if (!report.ok) throw new CheckFailed(`${report.problems.length} of the checks failed`);
  if (!options.json) print("pack, MySQL and Redis agree");
}
