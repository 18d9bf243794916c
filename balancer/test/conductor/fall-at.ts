/**
 * Preloaded into a controller under test, which is otherwise as it ships: it kills or freezes itself at one exact write of
 * the control store. `FALL_AT` names a file with { path, text, when, signal }; while there is none, nothing happens.
 */
import { readFileSync } from "node:fs";
import promises from "node:fs/promises";
import { syncBuiltinESMExports } from "node:module";

export interface Fall {
  /** Part of the record's path, and of its new text. */
  path: string;
  text: string;
  when: "before" | "after";
  signal: NodeJS.Signals;
}

const orders = process.env["FALL_AT"];
const { link } = promises;

function due(from: unknown, to: unknown): Fall | null {
  try {
    const fall = JSON.parse(readFileSync(orders!, "utf8")) as Fall;
    const isIt = String(to).includes(fall.path) && readFileSync(String(from), "utf8").includes(fall.text);
    return isIt ? fall : null;
  } catch {
    return null;
  }
}

if (orders !== undefined) {
  promises.link = async (from, to) => {
    const fall = due(from, to);
    if (fall?.when === "before") process.kill(process.pid, fall.signal);
    await link(from, to);
    if (fall?.when === "after") process.kill(process.pid, fall.signal);
  };
  syncBuiltinESMExports();
}
