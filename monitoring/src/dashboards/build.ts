/** All dashboards as Grafana's JSON: what stands in monitoring/dashboards. */
import { balancer } from "./balancer.ts";
import { bucket } from "./bucket.ts";
import { hosts } from "./hosts.ts";
import { money } from "./money.ts";
import { overview } from "./overview.ts";
import { buildDashboard, type DashboardSpec } from "./panels.ts";
import { stores } from "./stores.ts";

export const DASHBOARDS: readonly DashboardSpec[] = [overview, bucket, balancer, stores, money, hosts];

/** File name → text. */
export function dashboardFiles(): Record<string, string> {
  return Object.fromEntries(
    DASHBOARDS.map((spec, index) => [
      `${index + 1}-${spec.uid.replace(/^hongbao-/, "")}.json`,
      `${JSON.stringify(buildDashboard(spec), null, 2)}\n`,
    ]),
  );
}
