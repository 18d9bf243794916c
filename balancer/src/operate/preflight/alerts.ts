/** Whether anybody hears of trouble: Alertmanager, what fires in it, and a test alert all the way to phone and mailbox. */
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { skipped, type Check, type Fault } from "./check.ts";
import { reasonOf, type Scene } from "./scene.ts";

const ASK_MS_MAX = 5_000;
const TEST_MS_MAX = 150_000;
/** These fire to say that all is well, or that somebody is testing. */
const QUIET = ["Watchdog", "QuietHours", "DeliveryTest"];

const alertSchema = z.array(
  z.object({
    labels: z.record(z.string(), z.string()),
    annotations: z.record(z.string(), z.string()).default({}),
  }),
);

const NOBODY: Fault = {
  what: "no Alertmanager is known, so nobody would be told of trouble",
  mend: "--alertmanager URL (on AWS: http://monitoring.EVENT.hongbao.internal:9093)",
};

/** A cluster on one's own machine may do without monitoring; any other may not. */
const without = ({ cluster }: Scene): ReturnType<Check["run"]> =>
  cluster === null
    ? { faults: [NOBODY], seen: "" }
    : skipped(
        "no monitoring: start it with `hongbao up --monitoring --alerts FILE`, or give --alertmanager URL",
      );

export const alerts: Check = {
  id: "alerts",
  what: "a test alert reaches everybody who is to be told",
  mend: "hongbao alert test; see AlertsNotDelivered in docs/runbook.md",
  async run(scene) {
    const { alertmanager, options } = scene;
    if (alertmanager === null) return without(scene);
    if (!options.alertTest) return skipped("--no-alert-test");
    const { code, stdout, stderr } = await hongbao([
      "alert",
      "test",
      "--json",
      "--alertmanager",
      alertmanager,
    ]);
    if (scene.cluster !== null && stderr.includes("tells nobody"))
      return skipped("Alertmanager tells nobody: give `hongbao up --monitoring` a file with --alerts");
    const ways = z
      .object({ ways: z.array(z.object({ way: z.string(), ok: z.boolean(), said: z.string() })) })
      .safeParse(parsed(stdout)).data?.ways;
    const faults: Fault[] = (ways ?? [])
      .filter(({ ok }) => !ok)
      .map(({ way, said }) => ({ what: `${way}: ${said}` }));
    if (code !== 0 && faults.length === 0)
      faults.push({
        what:
          stderr
            .trim()
            .split("\n")
            .at(-1)
            ?.replace(/^hongbao: /, "") ?? `alert test ended with ${code}`,
      });
    return { faults, seen: (ways ?? []).map(({ way }) => way).join(", ") };
  },
};

export const firing: Check = {
  id: "firing",
  what: "no alert fires",
  mend: "docs/runbook.md, under the alert's name",
  async run(scene) {
    const { alertmanager } = scene;
    if (alertmanager === null) return without(scene);
    try {
      const url = `${alertmanager.replace(/\/$/, "")}/api/v2/alerts?active=true&silenced=true`;
      const response = await fetch(url, { signal: AbortSignal.timeout(ASK_MS_MAX) });
      const found = alertSchema.parse(await response.json());
      const faults = found
        .filter(({ labels }) => !QUIET.includes(labels["alertname"] ?? ""))
        .map(({ labels, annotations }): Fault => {
          const name = labels["alertname"] ?? "an alert";
          const where = labels["bucket"] === undefined ? "" : ` in bucket ${labels["bucket"]}`;
          const summary = annotations["summary"] === undefined ? "" : `: ${annotations["summary"]}`;
          return { what: `${name} fires${where}${summary}`, mend: `docs/runbook.md, ${name}` };
        });
      return { faults, seen: "none" };
    } catch (error) {
      const what = `Alertmanager at ${alertmanager} does not answer: ${reasonOf(error)}`;
      return { faults: [{ what, mend: "see ExporterDown in docs/runbook.md" }], seen: "" };
    }
  },
};

const ROOT = join(import.meta.dirname, "..", "..", "..", "..");

/** Alerts are another folder's: its command is run, as an operator would. */
function hongbao(args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const flags = readFileSync(join(ROOT, "node-flags"), "utf8").trim().split(" ");
  const words = [...flags, join(ROOT, "hongbao.ts"), ...args];
  return new Promise((resolve) => {
    execFile(process.execPath, words, { timeout: TEST_MS_MAX }, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : typeof error.code === "number" ? error.code : 1, stdout, stderr }),
    );
  });
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
