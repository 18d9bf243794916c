/** Reads command line options; errors say what was found and what is expected. */
import { BadInput } from "@hongbao/preprocess";

export function wholeOption(
  name: string,
  text: string | undefined,
  min: number,
  max: number,
): number | undefined {
  if (text === undefined) return undefined;
  const value = /^\d{1,15}$/.test(text) ? Number(text) : NaN;
  if (value >= min && value <= max) return value;
  throw new BadInput(`${name}: found "${text}", expected a whole number from ${min} to ${max}`);
}
