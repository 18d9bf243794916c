/** Before a command runs: its topology, its pack and its event file, where they stand in S3, become files here. */
import type { Command } from "commander";
import { readTopology } from "../topology.ts";
import { bringFile, bringFolderOf, bringPack } from "./bring.ts";

/** `s3://…` among the command's words is replaced by the local copy's path. Errors: Unreachable, BadInput. */
export async function bringForCommand(command: Command): Promise<void> {
  const named = (command.opts()["topology"] as string | undefined) ?? process.env.HONGBAO_TOPOLOGY ?? "";
  if (named.startsWith("s3://")) {
    const path = await bringFile(named);
    // The environment, for the processes that a command starts, and the option, which goes before it.
    process.env.HONGBAO_TOPOLOGY = path;
    if (command.opts()["topology"] !== undefined) command.setOptionValue("topology", path);
    const { pack, packFrom } = readTopology(path);
    if (packFrom !== undefined && command.name() !== "generate") await bringPack(packFrom, pack);
    command.processedArgs = command.processedArgs.map((word: unknown) => (word === packFrom ? pack : word));
  }
  command.processedArgs = await Promise.all(
    command.processedArgs.map((word: unknown) =>
      typeof word === "string" && word.startsWith("s3://") ? bringFolderOf(word) : word,
    ),
  );
}
