/** The directory that HAProxy runs in: its configuration, its maps, its sockets, and what was known last. */
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

export const CONFIG = "haproxy.cfg";
export const CONFIG_DRAFT = "haproxy.cfg.new";
export const KNOWN = "known.json";
export const KNOWN_SWITCHES = "switches.json";
/** Services that were found last (slots.ts). */
export const FOUND = "found.json";

/** Writes a file in one step: HAProxy and a restarted `balancer run` read the old one or the new one, never a half. */
export function writeWhole(dir: string, name: string, text: string): void {
  const path = join(dir, name);
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const draft = `${path}.tmp`;
  writeFileSync(draft, text, { mode: 0o600 });
  renameSync(draft, path);
}

/** The text of a file, or null when there is none. */
export function readIfThere(dir: string, name: string): string | null {
  try {
    return readFileSync(join(dir, name), "utf8");
  } catch {
    return null;
  }
}
