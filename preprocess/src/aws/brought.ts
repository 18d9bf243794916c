/** Before a command runs: its topology, its pack and its event file, where they stand in S3, become files here. */
import { readFileSync, writeFileSync } from "node:fs";
import type { Command } from "commander";
import { parse, stringify } from "yaml";
import { readTopology, type Topology } from "../topology.ts";
import { bringFile, bringFolderOf, bringPack } from "./bring.ts";
import { discoverInstances } from "./cloud-map.ts";

/** Those that run on and find services by themselves, again and again; others take who is there now. */
const LIVING = ["bucket", "controller", "run", "render"];

/** `s3://…` among the command's words is replaced by the local copy's path. Errors: Unreachable, BadInput. */
export async function bringForCommand(command: Command): Promise<void> {
  const named = (command.opts()["topology"] as string | undefined) ?? process.env.HONGBAO_TOPOLOGY ?? "";
  if (named.startsWith("s3://")) {
    const path = await bringFile(named);
    const topology = readTopology(path);
    const { pack, packFrom } = topology;
    if (!LIVING.includes(command.name())) await nameServices(topology);
    // The environment, for the processes that a command starts, and the option, which goes before it.
    process.env.HONGBAO_TOPOLOGY = path;
    if (command.opts()["topology"] !== undefined) command.setOptionValue("topology", path);
    if (packFrom !== undefined && command.name() !== "generate") await bringPack(packFrom, pack);
    command.processedArgs = command.processedArgs.map((word: unknown) => (word === packFrom ? pack : word));
  }
  command.processedArgs = await Promise.all(
    command.processedArgs.map((word: unknown) =>
      typeof word === "string" && word.startsWith("s3://") ? bringFolderOf(word) : word,
    ),
  );
}

/** The local copy of the topology names the services that are there now. A bucket of which none is found keeps the name. */
async function nameServices({ path, buckets }: Topology): Promise<void> {
  const text = parse(readFileSync(path, "utf8")) as { buckets: { services: unknown }[] };
  await Promise.all(
    buckets.map(async ({ services }, index) => {
      if (Array.isArray(services)) return;
      const { discover, http, spop, admin } = services;
      // Not every command asks services: one that does says itself that they are missing.
      const found = await discoverInstances(discover).catch(() => []);
      if (found.length === 0) return;
      text.buckets[index]!.services = found.map(({ id, host }) => ({
        id: id
          .toLowerCase()
          .replaceAll(/[^a-z0-9-]/g, "-")
          .slice(0, 32),
        http: `${host}:${http}`,
        spop: `${host}:${spop}`,
        admin: `${host}:${admin}`,
      }));
    }),
  );
  writeFileSync(path, stringify(text), { mode: 0o600 });
}
