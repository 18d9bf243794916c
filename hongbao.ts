/**
 * The command line: every folder registers its own commands, this file only dispatches.
 * Exit codes: 0 done and true; 1 the check it makes failed; 2 bad input; 3 something it needs is not reachable.
 */
import { Command, CommanderError } from "commander";
import { reportFailure } from "@hongbao/preprocess/errors";
import { register as preprocess } from "@hongbao/preprocess/commands";
import { register as bucketService } from "@hongbao/bucket-service/commands";
import { register as balancer } from "@hongbao/balancer/commands";
import { register as infra } from "@hongbao/infra/commands";

const program = new Command("hongbao")
  .description("A red-envelope / flash-sale cluster: every prize exactly once.")
  .showHelpAfterError("(add --help for the options)")
  .exitOverride();

for (const register of [preprocess, bucketService, balancer, infra]) register(program);

// What stands in S3 is brought first; a local command never gets further than this look at its words.
program.hook("preAction", async (_, command) => {
  const args = command.processedArgs as unknown[];
  const words: unknown[] = [command.opts()["topology"], process.env.HONGBAO_TOPOLOGY, ...args];
  if (words.some((word) => typeof word === "string" && word.startsWith("s3://"))) {
    await (await import("@hongbao/preprocess/brought")).bringForCommand(command);
  }
});

try {
  await program.parseAsync();
} catch (error) {
  // Commander has already written its own message: help and version end with 0, a wrong word is bad input.
  process.exitCode = error instanceof CommanderError ? (error.exitCode === 0 ? 0 : 2) : reportFailure(error);
}
