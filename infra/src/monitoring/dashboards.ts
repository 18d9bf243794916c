/** `hongbao dashboards`: serves the dashboards from a Prometheus until it is told to stop. */
import { dashboardsServer } from "@hongbao/monitoring/page";
import { BadInput, say, Unreachable } from "@hongbao/preprocess";

export interface DashboardsOptions {
  prometheus: string;
  listen: string;
}

/** Throws BadInput, Unreachable. */
export async function runDashboards({ prometheus, listen }: DashboardsOptions): Promise<void> {
  if (!/^https?:\/\//.test(prometheus) || !URL.canParse(prometheus))
    throw new BadInput(`--prometheus: found "${prometheus}", expected a URL such as http://127.0.0.1:9090`);
  const [, host, port] = /^(\[[^\]]+\]|[^:]+):(\d{1,5})$/.exec(listen) ?? [];
  if (host === undefined) throw new BadInput(`--listen: found "${listen}", expected host:port`);
  const server = dashboardsServer(prometheus);
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error) => reject(new Unreachable(`cannot listen on ${listen}: ${error.message}`)));
    server.listen({ host: host.replace(/^\[|\]$/g, ""), port: Number(port) }, resolve);
  });
  say(`The dashboards are at http://${listen}/`);
  await new Promise<void>((resolve) => {
    for (const name of ["SIGTERM", "SIGINT"] as const) process.once(name, () => resolve());
  });
  server.close();
  server.closeAllConnections();
}
