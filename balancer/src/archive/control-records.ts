/** The conductor's records of an event, whole: its memory is small. */
import type { ControlStore } from "../control/store.ts";

export interface ControlLine {
  name: string;
  value: unknown;
}

const AT_ONCE = 16;
/** Says who leads at this moment; nothing depends on it. */
const LEASE = "lease";

/** @param store an eventStore(). In the order of names, which for the log is that of time. Errors: Unreachable. */
export async function controlRecords(store: ControlStore): Promise<ControlLine[]> {
  const names = (await store.list("")).filter((name) => name !== LEASE);
  const lines: ControlLine[] = [];
  for (let from = 0; from < names.length; from += AT_ONCE) {
    const some = names.slice(from, from + AT_ONCE);
    const found = await Promise.all(some.map((name) => store.get(name)));
    for (const [index, record] of found.entries())
      if (record !== null) lines.push({ name: some[index]!, value: readable(record.value) });
  }
  return lines;
}

function readable(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
