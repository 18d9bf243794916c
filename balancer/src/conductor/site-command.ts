/** `hongbao balancer site`: writes the page as a folder that any CDN can serve. */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { findTopology, print, printJson, readTopology } from "@hongbao/preprocess";
import { buildSite, SITE_FOLDER, type SiteFile } from "./site-files.ts";

export interface SiteCommandOptions {
  out: string;
  api?: string;
  topology?: string;
  state?: string;
  json?: boolean;
}

export function runSite(options: SiteCommandOptions): void {
  const api = options.api ?? apiOfTopology(options);
  const { files, headers } = buildSite(SITE_FOLDER, api);
  const out = resolve(options.out);
  const rows = Array.from(files.values(), (file) => ({ path: pathOf(file), file }));
  // The page comes last: whoever gets it gets all it names.
  for (const { path, file } of rows.sort((a, b) => Number(a.file.url === "/") - Number(b.file.url === "/"))) {
    mkdirSync(dirname(join(out, path)), { recursive: true });
    writeFileSync(join(out, path), file.body);
  }
  const report = {
    out,
    api,
    gzipBytes: rows.reduce((sum, { file }) => sum + (file.gzip ?? file.body).length, 0),
    headers,
    files: rows.map(({ path, file }) => ({
      path,
      bytes: file.body.length,
      contentType: file.type,
      cacheControl: file.caching,
    })),
  };
  if (options.json === true) return printJson(report);
  print(`wrote ${report.files.length} files to ${out}, ${report.gzipBytes} bytes gzipped`);
  print(`the page asks ${api === "" ? "its own origin" : api}`);
  print("\nto be served with:");
  for (const { path, cacheControl } of report.files)
    print(`  ${path.padEnd(34)} cache-control: ${cacheControl}`);
  print("\nand all of it with:");
  for (const [name, value] of Object.entries(headers)) print(`  ${name}: ${value}`);
}

function pathOf({ url }: SiteFile): string {
  return url === "/" ? "index.html" : url.slice(1);
}

/** The API's origin as a topology has it; without a topology, or where page and API are one, the page's own. */
function apiOfTopology({ topology, state }: SiteCommandOptions): string {
  if (topology === undefined && state === undefined && !process.env.HONGBAO_TOPOLOGY) return "";
  const { url, site } = readTopology(findTopology(topology, state)).balancer;
  // Behind http a controller serves the page through the balancer, so it is the balancer's origin.
  const page = new URL(site).protocol === "https:" ? new URL(site).origin : new URL(url).origin;
  return page === new URL(url).origin ? "" : new URL(url).origin;
}
