/** `hongbao preflight`: go or no-go, why, and what mends it. Changes nothing. */
import { BadInput, CheckFailed, print, printJson, say } from "@hongbao/preprocess";
import type { Check, Fault } from "./check.ts";
import { CHECKS } from "./list.ts";
import { lookAround, reasonOf, type PreflightOptions, type Scene } from "./scene.ts";

export interface CheckReport {
  id: string;
  what: string;
  state: "go" | "no-go" | "skipped";
  /** What was seen, or why it was skipped. */
  seen: string;
  faults: { what: string; mend: string }[];
}

export interface PreflightReport {
  go: boolean;
  topology: string;
  event: string;
  at: string;
  checks: CheckReport[];
}

/** Throws CheckFailed for a no-go, BadInput, Unreachable without a cluster. */
export async function runPreflight(options: PreflightOptions): Promise<void> {
  const { alertmanager, connections } = options;
  if (alertmanager !== undefined && !URL.canParse(alertmanager))
    throw new BadInput(`--alertmanager: found "${alertmanager}", expected a URL`);
  if (connections !== undefined && !/^[1-9]\d{0,8}$/.test(connections))
    throw new BadInput(`--connections: found "${connections}", expected a whole number from 1`);
  const scene = await lookAround(options);
  say(`Preflight of event ${scene.pack.manifest.event.id} (${scene.topology.path})`);
  try {
    const report = await judge(scene);
    if (options.json) printJson(report);
    else for (const line of reportLines(report)) print(line);
    const failed = report.checks.filter(({ state }) => state === "no-go");
    if (!report.go) throw new CheckFailed(`no-go: ${failed.map(({ id }) => id).join(", ")}`);
  } finally {
    scene.pack.close();
  }
}

/** All checks side by side: none changes anything, and none waits for another. */
export async function judge(scene: Scene, checks: readonly Check[] = CHECKS): Promise<PreflightReport> {
  const reports = await Promise.all(checks.map((check) => runCheck(check, scene)));
  return {
    go: reports.every(({ state }) => state !== "no-go"),
    topology: scene.topology.path,
    event: scene.pack.manifest.event.id,
    at: new Date().toISOString(),
    checks: reports,
  };
}

async function runCheck({ id, what, mend, run }: Check, scene: Scene): Promise<CheckReport> {
  try {
    const outcome = await run(scene);
    if ("skipped" in outcome) return { id, what, state: "skipped", seen: outcome.skipped, faults: [] };
    const faults = outcome.faults
      .map((fault): Fault => (typeof fault === "string" ? { what: fault } : fault))
      .map((fault) => ({ what: fault.what, mend: fault.mend ?? mend }));
    return { id, what, state: faults.length === 0 ? "go" : "no-go", seen: outcome.seen, faults };
  } catch (error) {
    return { id, what, state: "no-go", seen: "", faults: [{ what: reasonOf(error), mend }] };
  }
}

export function reportLines({ go, checks }: PreflightReport): string[] {
  const width = Math.max(...checks.map(({ id }) => id.length));
  const sign = { go: "go   ", "no-go": "NO-GO", skipped: "-    " };
  const lines = checks.flatMap(({ id, what, state, seen, faults }) => [
    `${sign[state]}  ${id.padEnd(width)}  ${state === "no-go" ? what : seen}`,
    ...faults.flatMap((fault) => [`         ${fault.what}`, `           mend: ${fault.mend}`]),
  ]);
  const failed = checks.filter(({ state }) => state === "no-go").length;
  return [...lines, "", go ? "GO" : `NO-GO: ${failed} of ${checks.length} checks failed`];
}
