import { readFileSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import { answerTable } from "../src/grab/answers.ts";

t.test("the README names every answer with the status that it has", async (t) => {
  const readme = readFileSync(join(import.meta.dirname, "..", "..", "README.md"), "utf8");
  const documented = new Map<string, number>();
  for (const [, word, status] of readme.matchAll(/^\| `(\w+)` \| (\d{3}) \|/gm))
    documented.set(word!, Number(status));
  documented.set(
    "not_found",
    Number(/`not_found`: no such path/.test(readme) && documented.get("no_such_round")),
  );
  // Nothing limits requests yet; the word is kept for when something does.
  const { limited, ...answered } = answerTable;
  t.equal(limited.status, 429);
  t.same(
    [...documented].sort(),
    Object.entries(answered)
      .map(([word, { status }]) => [word, status])
      .sort(),
  );
});
