/** The edge of `hongbao capacity`: options in; report, variables of Terraform and picture out. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { BadInput, CheckFailed, print, printJson, say } from "@hongbao/preprocess";
import { ASSUMED } from "./facts.ts";
import { readMeasured } from "./figures.ts";
import type { CapacityCommandOptions } from "./commands.ts";
import { readRequest } from "./options.ts";
import { picture } from "./picture.ts";
import { NoPlan, planFor, type Plan } from "./plan.ts";
import { readPrices, type Prices } from "./prices.ts";
import { reportText } from "./report.ts";
import { tfvarsOf } from "./tfvars.ts";

/** The figures that lie beside the model; docs/capacity.md says how to renew them. */
export const COMMITTED = {
  bench: join(import.meta.dirname, "measured.json"),
  aside: join(import.meta.dirname, "aside.json"),
  prices: join(import.meta.dirname, "prices.json"),
};
const DAY_MS = 86_400_000;
const OLD_DAYS = 180;

/** Throws BadInput; CheckFailed when no cluster can be planned. */
export async function runCapacity(options: CapacityCommandOptions): Promise<void> {
  const request = readRequest(options);
  const measured = readMeasured({
    bench: options.measured ?? COMMITTED.bench,
    aside: options.aside ?? COMMITTED.aside,
  });
  const prices = readPrices(options.prices ?? COMMITTED.prices);
  const world = { figures: measured.figures, policy: request.policy, prices };
  const plan = makePlan(() => planFor(request.plan, world));
  const warnings = [...measured.warnings, ...oldPrices(prices, Date.now())];
  const tfvars = tfvarsOf(plan, request.policy.zones, request.names);
  const report = {
    request,
    plan,
    tfvars,
    figures: measured.figures,
    assumed: ASSUMED,
    sources: measured.sources,
    prices,
    warnings,
  };
  if (options.out !== undefined) writeOut(options.out, tfvars, picture(report));
  if (options.json)
    printJson({ ...report, prices: { date: prices.date, region: prices.region, currency: prices.currency } });
  else print(reportText(report));
  for (const warning of warnings) say(`warning: ${warning}`);
}

function makePlan(plan: () => Plan): Plan {
  try {
    return plan();
  } catch (error) {
    if (error instanceof NoPlan) throw new CheckFailed(`capacity: ${error.message}`);
    throw error;
  }
}

function writeOut(dir: string, tfvars: object, svg: string): void {
  try {
    mkdirSync(dir, { recursive: true });
    const files = { "terraform.tfvars.json": `${JSON.stringify(tfvars, null, 2)}\n`, "capacity.svg": svg };
    for (const [name, text] of Object.entries(files)) {
      writeFileSync(join(dir, name), text);
      say(`wrote ${join(dir, name)}`);
    }
  } catch (error) {
    throw new BadInput(`--out: cannot write to ${dir}: ${(error as Error).message}`, { cause: error });
  }
}

/** The newest prices are always of some day; how many days are too many is anybody's guess. */
function oldPrices(prices: Prices, nowMs: number): string[] {
  const days = Math.floor((nowMs - Date.parse(prices.date)) / DAY_MS);
  return days > OLD_DAYS
    ? [`prices are of ${prices.date}, ${days} days ago: look them up (--prices FILE)`]
    : [];
}

export async function runMeasure(options: { to?: string }): Promise<void> {
  const { measureAside } = await import("./measure.ts");
  const file = await measureAside(say);
  if (options.to === undefined) return printJson(file);
  writeFileSync(options.to, `${JSON.stringify(file, null, 2)}\n`);
  say(`wrote ${options.to}`);
}
