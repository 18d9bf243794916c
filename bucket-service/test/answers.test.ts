import { createHmac } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import { HmacSha256 } from "@hongbao/preprocess";
import { AnswerWriter, answerTable, receiptOf } from "../src/grab/answers.ts";
import { fakePack } from "./spop/fake.ts";

t.test("the README names every answer with the status that it has", async (t) => {
  const readme = readFileSync(join(import.meta.dirname, "..", "..", "README.md"), "utf8");
  const documented = new Map<string, number>();
  for (const [, word, status] of readme.matchAll(/^\| `(\w+)` \| (\d{3}) \|/gm))
    documented.set(word!, Number(status));
  documented.set(
    "not_found",
    Number(/`not_found`: no such path/.test(readme) && documented.get("no_such_round")),
  );
  t.same(
    [...documented].sort(),
    Object.entries(answerTable)
      .map(([word, { status }]) => [word, status])
      .sort(),
  );
});

t.test("a won answer's two forms are the same bytes, and carry the receipt", async (t) => {
  const writer = new AnswerWriter(fakePack, "b0", "receipt-secret");
  for (const round of [1, 3]) {
    for (let prizeId = 1_000_001; prizeId < 1_000_020; prizeId += 1) {
      const text = writer.won(round, "u.1_x-Z", 2, prizeId);
      t.equal(Buffer.from(writer.wonBytes(round, "u.1_x-Z", 2, prizeId), "latin1").toString("utf8"), text);
      const body = JSON.parse(text) as { receipt: string };
      const facts = { event: "spring", bucket: "b0", round, n: 2, prizeId, user: "u.1_x-Z" };
      t.equal(body.receipt, receiptOf(facts, new HmacSha256("receipt-secret")));
      const signed = `spring:b0:${round}:2:${prizeId}:u.1_x-Z`;
      const code = createHmac("sha256", "receipt-secret").update(signed).digest("base64url").slice(0, 22);
      t.equal(body.receipt, `${signed.slice("spring:".length)}:${code}`);
    }
  }
});
