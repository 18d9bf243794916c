/** What people read of a run. */
import { table } from "@hongbao/preprocess";
import { PROMISES } from "./checker/judged.ts";
import type { Played } from "./play.ts";

/** One scenario, as soon as it is done. */
export function playedLines({ id, violations, effect, judged, seconds, history }: Played): string {
  const { users, requests, won, grabs, usersHit, waitedMs, longestGapMs } = effect;
  const words = Object.entries(grabs).map(([word, count]) => `${count} ${word}`);
  const hit = Object.entries(usersHit).map(([bucket, count]) => `${count} of ${bucket}`);
  const gaps = Object.entries(longestGapMs).map(([bucket, ms]) => `${bucket} ${(ms / 1000).toFixed(1)} s`);
  const lines = [
    `${violations.length === 0 ? "kept  " : "BROKEN"} ${id} (${seconds} s): ${users} users, ${requests} requests, ${won} prizes told; grabs: ${words.join(", ")}`,
    `       noticed by ${hit.length === 0 ? "nobody" : `${hit.join(", ")} users`}; ${waitedMs.users} asked more than once, half of them for ${(waitedMs.p50 / 1000).toFixed(1)} s, the longest ${(waitedMs.max / 1000).toFixed(1)} s; longest time without a good answer: ${gaps.join(", ")}`,
    ...(effect.strain > 0
      ? [
          `       this machine had no time for those who answer during ${Math.round(effect.strain * 100)} % of it`,
        ]
      : []),
    ...effect.notPlayed.map((text) => `       not played: ${text}`),
    ...Object.entries(judged).flatMap(([promise, why]) =>
      why === null ? [] : [`       promise ${promise} not judged: ${why}`],
    ),
    ...violations.map(
      ({ promise, what, user, prize }) =>
        `       promise ${promise}: ${what}${user === undefined ? "" : `, user ${user}`}${prize === undefined ? "" : `, prize ${prize}`}`,
    ),
    ...(violations.length > 0 ? [`       history: ${history}`] : []),
  ];
  return lines.join("\n");
}

/** How many scenarios judged each promise, and how often each reason stood against it. */
export function judgedCounts(
  played: readonly Played[],
): Record<string, { judged: number; not: Record<string, number> }> {
  const counts = PROMISES.map((promise) => {
    const whys = played.flatMap(({ judged }) => judged[promise] ?? []);
    const not = Object.fromEntries(
      Array.from(
        Map.groupBy(whys, (why) => why),
        ([why, all]) => [why, all.length],
      ),
    );
    return [promise, { judged: played.length - whys.length, not }];
  });
  return Object.fromEntries(counts) as ReturnType<typeof judgedCounts>;
}

function judgedTable(played: readonly Played[]): string {
  const rows = Object.entries(judgedCounts(played)).map(([promise, { judged, not }]) => {
    const broken = played.filter(({ violations }) =>
      violations.some((each) => String(each.promise) === promise),
    ).length;
    const whys = Object.entries(not).map(([why, count]) => `${count}: ${why}`);
    return [promise, String(judged), String(broken), whys.join("; ")];
  });
  return table([["promise", "judged by scenarios", "broken in", "not judged"], ...rows]);
}

export function reportText(played: readonly Played[], seed: number): string {
  const rows = [
    [
      "scenario",
      "violations",
      "users",
      "prizes",
      "busy",
      "none",
      "hit users",
      "hit for s",
      "waited max s",
      "restarts",
    ],
  ];
  for (const { id, violations, effect } of played) {
    const { users, won, grabs, usersHit, hitSpanMs, waitedMs, restarts } = effect;
    const hit = Object.values(usersHit).reduce((sum, count) => sum + count, 0);
    rows.push([
      id,
      ...[violations.length, users, won, grabs["busy"] ?? 0, grabs["none"] ?? 0, hit].map(String),
      ...[hitSpanMs, waitedMs.max].map((ms) => (ms / 1000).toFixed(1)),
      String(restarts),
    ]);
  }
  const total = played.reduce((sum, { violations }) => sum + violations.length, 0);
  const seconds = played.reduce((sum, each) => sum + each.seconds, 0);
  const judged = judgedTable(played);
  return `${table(rows)}\n\n${judged}\n${played.length} scenarios, ${total} violations, seed ${seed}, ${Math.round(seconds)} s`;
}
