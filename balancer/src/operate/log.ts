/** `hongbao log`: what operators and the conductor did. */
import { BadInput, print, printJson, table } from "@hongbao/preprocess";
import { z } from "zod";
import { openControllers, type Where } from "./controllers.ts";

export interface LogOptions extends Where {
  limit: string;
  json?: boolean;
}

const logSchema = z.object({
  entries: z.array(
    z.object({
      atMs: z.number(),
      by: z.string(),
      what: z.string(),
      why: z.string(),
      round: z.number().optional(),
    }),
  ),
});

export async function runLog(options: LogOptions): Promise<void> {
  if (!/^[1-9]\d{0,4}$/.test(options.limit)) {
    throw new BadInput(`--limit: found "${options.limit}", expected a whole number from 1 to 10000`);
  }
  const answer = await openControllers(options).get(`/admin/log?limit=${options.limit}`);
  const entries = logSchema
    .parse(answer)
    .entries.map(({ atMs, ...rest }) => ({ at: new Date(atMs).toISOString(), ...rest }));
  if (options.json) return printJson({ entries });
  if (entries.length === 0) return print("nothing was done yet");
  const rows = entries.map(({ at, by, what, why, round }) => [
    at,
    by,
    round === undefined ? "" : `round ${round}`,
    why === "" ? what : `${what} (${why})`,
  ]);
  print(table(rows));
}
