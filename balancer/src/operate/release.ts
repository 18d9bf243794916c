/** `hongbao round release ROUND`: burned IDs of a round become stock again, in every bucket. */
import { BadInput, confirmAct, formatMoney, print, printJson, table } from "@hongbao/preprocess";
import { askAny, processesOf } from "./buckets.ts";
import { openControllers, type Where } from "./controllers.ts";
import { byDefault, readRound, roundOf } from "./round.ts";

export interface ReleaseOptions extends Where {
  by?: string;
  why?: string;
  yes?: boolean;
  json?: boolean;
}

export async function runRelease(roundText: string, options: ReleaseOptions): Promise<void> {
  const round = readRound(roundText);
  const controllers = openControllers(options);
  const { topology } = controllers;
  const { state } = await roundOf(controllers, round);
  const { event } = await controllers.state();
  const buckets = topology.buckets.map(({ id }) => ({ id, processes: processesOf(topology, id) }));
  const burned = await Promise.all(
    buckets.map(async ({ id, processes }) => {
      const { answer } = await askAny(processes, (client) => client.burned());
      const { count = 0, amount = 0 } = answer.find((each) => each.round === round) ?? {};
      return { id, count, amount };
    }),
  );
  const total = burned.reduce((sum, { count }) => sum + count, 0);
  await confirmAct({
    what: [
      `Topology ${topology.path}, event ${event}, round ${round} (${state}), buckets ${buckets.map(({ id }) => id).join(", ")}`,
      `Will make ${total} burned IDs stock again (${burned.map(({ id, count }) => `${id}: ${count}`).join(", ")}): ` +
        "receipts for them are refused from then on.",
    ],
    ask: { word: String(round), yes: options.yes === true },
  });
  const reports = [];
  for (const { id, processes } of buckets) {
    const { answer } = await askAny(processes, (client) => client.release(round)).catch((error: Error) => {
      throw error instanceof BadInput ? new BadInput(`bucket ${id}: ${error.message}`) : error;
    });
    reports.push({ bucket: id, ...answer });
  }
  const what = reports.map(({ bucket, released }) => `${bucket}: ${released.count}`).join(", ");
  await controllers.post("/admin/log", {
    by: options.by ?? byDefault(),
    why: options.why ?? "",
    what: `released burned IDs: ${what}`,
    round,
  });
  if (options.json) return printJson({ round, buckets: reports });
  const rows = reports.map(({ bucket, released }) => [
    bucket,
    String(released.count),
    formatMoney(released.amount),
  ]);
  print(table([["bucket", "released", "worth"], ...rows]));
}
