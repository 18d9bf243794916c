/** `hongbao balancer render`: the configuration on stdout, or with its maps in a directory. */
import { join, resolve } from "node:path";
import { findTopology, print, readTopology, say } from "@hongbao/preprocess";
import { CONFIG } from "./files.ts";
import { readChoice, readManifest, writeFiles } from "./run.ts";
import { render } from "./render.ts";

export interface RenderCommandOptions {
  topology?: string;
  state?: string;
  threads?: string;
  door?: string;
  out?: string;
}

export function runRender(options: RenderCommandOptions): void {
  const topology = readTopology(findTopology(options.topology, options.state));
  const chosen = readChoice(options);
  if (options.out === undefined) {
    return print(render(topology, readManifest(topology.pack), chosen).trimEnd());
  }
  const dir = resolve(options.out);
  writeFiles(dir, topology, chosen, CONFIG);
  say(`wrote ${join(dir, CONFIG)} and its maps; run HAProxy in that directory`);
}
