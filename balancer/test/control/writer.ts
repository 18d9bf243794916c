/** A process that adds to one counter by compare-and-set and races to create records; see directory-store.test.ts. */
import { openDirectoryStore } from "../../src/control/directory-store.ts";

const [dir = "", index = "", count = ""] = process.argv.slice(2);
const store = await openDirectoryStore(dir);
const created: number[] = [];
let added = 0;
process.send?.("started");
for (let n = 0; n < Number(count); n += 1) {
  if ((await store.put(`created/${n}`, `writer ${index}`, { ifNoneMatch: true })) !== null) created.push(n);
  for (;;) {
    const found = await store.get("counter");
    const condition = found ? { ifMatch: found.etag } : { ifNoneMatch: true as const };
    if ((await store.put("counter", String(Number(found?.value ?? 0) + 1), condition)) !== null) break;
  }
  added += 1;
}
process.send?.({ added, created }, () => process.disconnect());
