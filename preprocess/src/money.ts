/** Money: decimals with at most 2 places outside, whole minor units (cents, fen) inside. Never a float. */
import { BadInput } from "./errors.ts";

const DECIMAL = /^(\d{1,14})(?:\.(\d{1,2}))?$/;

/**
 * Reads `1500000.00` or the number 1500000 as minor units (150000000).
 * `where` names the file and field for the message. Throws BadInput: negative, 3 places, not a number, too large.
 */
export function parseMoney(value: string | number, where: string): number {
  const text = String(value);
  const parts = DECIMAL.exec(text);
  const minor = parts ? Number(parts[1]) * 100 + Number((parts[2] ?? "").padEnd(2, "0")) : NaN;
  if (!Number.isSafeInteger(minor)) {
    throw new BadInput(`${where}: found ${text}, expected an amount such as 12.50 with at most 2 decimals`);
  }
  return minor;
}

/** Minor units as a decimal with 2 places: 888 → "8.88". Takes any safe integer, negative ones too. */
export function formatMoney(minor: number): string {
  const sign = minor < 0 ? "-" : "";
  const whole = Math.abs(minor);
  return `${sign}${Math.floor(whole / 100)}.${String(whole % 100).padStart(2, "0")}`;
}
