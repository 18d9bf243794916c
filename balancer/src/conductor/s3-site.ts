/**
 * The schedule and the start files in S3, where a CDN takes them from. Only the controller that leads writes; it writes anew every
 * second, so that what a frozen one put there in passing does not stay.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { askS3, keyUnder, s3Place, s3Trouble } from "@hongbao/preprocess";
import { deleteS3 } from "../control/clear.ts";
import type { SiteNews } from "./site.ts";

const LOOK_MS = 200;
const AGAIN_MS = 1_000;
const PUT_MS_MAX = 2_000;

export interface S3SiteParts {
  /** `s3://bucket/prefix` */
  url: string;
  /** At this moment: a rehearsal has one of its own. */
  rounds: () => readonly number[];
  news: SiteNews;
  isLeading: () => boolean;
  onTrouble: (error: unknown) => void;
}

/** Publishes until stop(). */
export function startS3Site(parts: S3SiteParts): { stop(): Promise<void> } {
  const stopping = new AbortController();
  const { signal } = stopping;
  const sent = new Map<string, { text: string; atMs: number }>();
  const loop = (async () => {
    while (!signal.aborted) {
      if (parts.isLeading()) await publish(parts, sent).catch(parts.onTrouble);
      await sleep(LOOK_MS, undefined, { signal }).catch(() => undefined);
    }
  })();
  return {
    async stop() {
      stopping.abort();
      await loop;
    },
  };
}

async function publish(
  { url, rounds, news }: S3SiteParts,
  sent: Map<string, { text: string; atMs: number }>,
): Promise<void> {
  const files: [string, string, string | null][] = [
    ["rounds.json", "application/json; charset=utf-8", news.roundsJson()],
    ...rounds().map((round): [string, string, string | null] => [
      `start/${round}.js`,
      "text/javascript; charset=utf-8",
      news.startFile(round),
    ]),
  ];
  const wanted = new Set(files.map(([name]) => name));
  // The start file of a rehearsal that is over.
  for (const name of sent.keys()) {
    if (wanted.has(name)) continue;
    const place = s3Place(url);
    await deleteS3(place.bucket, keyUnder(place, name));
    sent.delete(name);
  }
  await Promise.all(
    files.map(async ([name, type, text]) => {
      if (text === null) return;
      const known = sent.get(name);
      const timeless = text.replace(/"serverTime":"[^"]*"/, "");
      if (known?.text === timeless && performance.now() - known.atMs < AGAIN_MS) return;
      const atMs = performance.now();
      await put(url, name, type, text);
      sent.set(name, { text: timeless, atMs });
    }),
  );
}

async function put(url: string, name: string, type: string, body: string): Promise<void> {
  const place = s3Place(url);
  const key = keyUnder(place, name);
  // Browsers keep nothing; the edge has a rule of its own.
  const headers = { "content-type": type, "cache-control": "no-store" };
  const answer = await askS3(place.bucket, { method: "PUT", key, headers, body, timeoutMs: PUT_MS_MAX });
  if (answer.status !== 200) throw s3Trouble(place.bucket, key, answer);
}
