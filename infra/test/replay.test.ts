import { execFile } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { readEvent } from "@hongbao/preprocess";
import t from "tap";
import { processesIn, runHongbao, temporaryState, tryHongbao } from "@hongbao/infra";
import { ARTICLE, replayEvent, type ReplayScale } from "../src/replay/event.ts";
import type { ReplaySummary } from "../src/replay/summary.ts";

const run = promisify(execFile);

// Whole clusters on a machine that may be busy.
t.setTimeout(300_000);

t.test("the event is the article's", async (t) => {
  const dir = temporaryState(t);
  await runHongbao(["preprocess", "sample", "--users", "1", "--out", dir]);
  const path = join(dir, "replay.yaml");
  writeFileSync(path, replayEvent(ARTICLE));
  t.match(readEvent(path), {
    rounds: [
      { kind: "envelope", count: 100_000, budgetMinor: 50_000_000 },
      { kind: "envelope", count: 100_000, budgetMinor: 50_000_000 },
      { kind: "item", count: 100 },
    ],
  });
  t.equal(ARTICLE.users, 150_000);
});

t.test("a small replay runs from the generation to a clean summary, beside another event", async (t) => {
  const home = temporaryState(t);
  const scale: ReplayScale = { users: 1_500, envelopes: 1_000, items: 10, opensInSeconds: 3 };
  const replay = new URL("../src/replay/replay.ts", import.meta.url).href;
  const program = `
    const { runReplay } = await import(${JSON.stringify(replay)});
    await runReplay(${JSON.stringify({ home, services: 1 })}, ${JSON.stringify(scale)});`;
  const { stdout } = await run(process.execPath, ["--input-type=module", "-e", program], {
    timeout: 100_000,
  });
  t.match(stdout, /1,500 users, 3 rounds, 2 buckets of 1 services/);
  t.match(stdout, /peak QPS[^]*audit +clean/);
  const summary = JSON.parse(readFileSync(join(home, "replay", "summary.json"), "utf8")) as ReplaySummary;
  t.same(
    summary.rounds.map(({ told, soldOut }) => [told.wins, told.verified, soldOut]),
    [
      [1_000, 1_000, true],
      [1_000, 1_000, true],
      [10, 10, true],
    ],
  );
  t.match(readFileSync(join(home, "replay", "replay.svg"), "utf8"), /^<svg/);
  t.notOk(existsSync(join(home, "settings.json")), "the operator's own event is another one");
  t.notOk(existsSync(join(home, "cluster.json")));
  t.same(processesIn(home), []);
  const shown = await tryHongbao(["up", "--replay", "--state", home]);
  t.equal(shown.code, 0, "a replay that was run is shown");
  t.match(shown.stdout, /audit +clean[^]*--fresh" runs it anew/);
});
