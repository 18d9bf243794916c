/** The commands of this folder alone, as hongbao.ts would run them; for tests. */
import { Command, CommanderError } from "commander";
import { register } from "../src/commands.ts";
import { reportFailure } from "../src/errors.ts";

const program = new Command("hongbao").exitOverride();
register(program);
try {
  await program.parseAsync();
} catch (error) {
  process.exitCode = error instanceof CommanderError ? (error.exitCode === 0 ? 0 : 2) : reportFailure(error);
}
