/** `hongbao receipts restore FILE`: receipts of all buckets, one a line. */
import { createReadStream } from "node:fs";
import { createInterface } from "node:readline";
import { RECEIPTS_MAX, type ReceiptAnswer } from "@hongbao/bucket-service";
import {
  BadInput,
  CheckFailed,
  confirmAct,
  errorCode,
  print,
  printJson,
  progress,
} from "@hongbao/preprocess";
import { askAny, processesOf, type BucketProcess } from "./buckets.ts";
import { openControllers, type Where } from "./controllers.ts";
import { byDefault } from "./round.ts";

export interface ReceiptsOptions extends Where {
  by?: string;
  why?: string;
  json?: boolean;
}

interface Line {
  line: number;
  receipt: string;
}

type Outcome = ReceiptAnswer & { line: number };

/** Every receipt gets its answer; throws CheckFailed when some were refused. */
export async function runReceipts(file: string, options: ReceiptsOptions): Promise<void> {
  const controllers = openControllers(options);
  const { topology } = controllers;
  const lines = await readLines(file);
  const known = new Map<string, BucketProcess[]>(
    topology.buckets.map(({ id }) => [id, processesOf(topology, id)]),
  );
  const { event } = await controllers.state();
  await confirmAct({
    what: [
      `Topology ${topology.path}, event ${event}, buckets ${[...known.keys()].join(", ")}: will restore the wins of ${lines.length} receipts`,
    ],
  });
  const bar = progress("receipts", lines.length);
  const outcomes: Outcome[] = [];
  for (const [bucket, own] of Map.groupBy(lines, ({ receipt }) => receipt.split(":", 1)[0]!)) {
    const processes = known.get(bucket);
    for (let from = 0; from < own.length; from += RECEIPTS_MAX / 2) {
      const part = own.slice(from, from + RECEIPTS_MAX / 2);
      outcomes.push(...(processes === undefined ? unknownBucket(part) : await restored(processes, part)));
      bar.update(outcomes.length);
    }
  }
  bar.done();
  outcomes.sort((a, b) => a.line - b.line);
  const count = (result: string): number => outcomes.filter((each) => each.result === result).length;
  const counts = { restored: count("restored"), known: count("known"), refused: count("refused") };
  await controllers.post("/admin/log", {
    by: options.by ?? byDefault(),
    why: options.why ?? "",
    what: `receipts: ${counts.restored} restored, ${counts.known} known, ${counts.refused} refused`,
  });
  if (options.json) printJson({ ...counts, receipts: outcomes });
  else {
    for (const { line, receipt, result, why } of outcomes)
      if (result === "refused") print(`line ${line}: refused: ${why}: ${receipt.slice(0, 80)}`);
    print(`${counts.restored} restored, ${counts.known} known already, ${counts.refused} refused`);
  }
  if (counts.refused > 0) throw new CheckFailed(`${counts.refused} of ${lines.length} receipts were refused`);
}

async function restored(processes: BucketProcess[], part: Line[]): Promise<Outcome[]> {
  const { answer } = await askAny(processes, (client) => client.receipts(part.map(({ receipt }) => receipt)));
  return part.map(({ line }, index) => ({ line, ...answer[index]! }));
}

function unknownBucket(part: Line[]): Outcome[] {
  return part.map(({ line, receipt }) => ({
    line,
    receipt,
    result: "refused",
    why: "it names no bucket of this topology",
  }));
}

async function readLines(file: string): Promise<Line[]> {
  const lines: Line[] = [];
  let line = 0;
  try {
    for await (const text of createInterface({ input: createReadStream(file), crlfDelay: Infinity })) {
      line += 1;
      // Longer than any receipt: kept short, and refused as what it is.
      if (text.trim() !== "") lines.push({ line, receipt: text.trim().slice(0, 300) });
    }
  } catch (error) {
    throw new BadInput(
      `${file}: cannot be read (${errorCode(error)}), expected a file with one receipt a line`,
    );
  }
  if (lines.length === 0) throw new BadInput(`${file}: is empty, expected one receipt a line`);
  return lines;
}
