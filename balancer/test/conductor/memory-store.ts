import type { ControlStore } from "../../src/control/store.ts";

/** A control store in memory: one contract, as far as tests of small sets need it. */
export function memoryStore(): ControlStore & {
  records: Map<string, { value: string; etag: string }>;
  away: boolean;
} {
  const records = new Map<string, { value: string; etag: string }>();
  let version = 0;
  const store = {
    records,
    away: false,
    async get(name: string) {
      if (store.away) throw new Error("away");
      return records.get(name) ?? null;
    },
    async put(name: string, value: string, condition: { ifNoneMatch?: true; ifMatch?: string } = {}) {
      if (store.away) throw new Error("away");
      const now = records.get(name);
      if (condition.ifNoneMatch && now) return null;
      if (condition.ifMatch !== undefined && now?.etag !== condition.ifMatch) return null;
      const etag = String((version += 1));
      records.set(name, { value, etag });
      return etag;
    },
    async list(prefix: string) {
      return [...records.keys()].filter((name) => name.startsWith(prefix)).sort();
    },
  };
  return store;
}
