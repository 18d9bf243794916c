/** How commands say what is set. */
import { SWITCH_NAMES } from "@hongbao/preprocess";
import { z } from "zod";

export const settingSchema = z.object({
  name: z.enum(SWITCH_NAMES),
  bucket: z.string().nullable(),
  value: z.string(),
  untilMs: z.number(),
  atMs: z.number(),
  by: z.string(),
  why: z.string(),
});
export type ShownSetting = z.infer<typeof settingSchema>;

/** `12 s`, `4 min 10 s`, `2 h 5 min`, `3 d 4 h`: two places, so that people see it go. */
export function timeLeft(ms: number): string {
  const seconds = Math.max(0, Math.ceil(ms / 1000));
  const [days, hours, minutes] = [
    Math.floor(seconds / 86_400),
    Math.floor(seconds / 3_600) % 24,
    Math.floor(seconds / 60) % 60,
  ];
  const parts = [`${days} d`, `${hours} h`, `${minutes} min`, `${seconds % 60} s`];
  const first = [days, hours, minutes].findIndex((count) => count > 0);
  return first < 0 ? parts[3]! : parts.slice(first, first + 2).join(" ");
}

/** "switch grab is off in bucket b0, by ann, 4 min 10 s left (redis is slow)". */
export function settingLine({ name, bucket, value, untilMs, by, why }: ShownSetting, nowMs: number): string {
  const where = bucket === null ? "" : ` in bucket ${bucket}`;
  const left = `${timeLeft(untilMs - nowMs)} left`;
  return `switch ${name} is ${value}${where}, by ${by}, ${left}${why === "" ? "" : ` (${why})`}`;
}

/** Those of one switch together, the one for all first. */
export function inOrder<T extends ShownSetting>(settings: readonly T[]): T[] {
  const key = ({ name, bucket }: ShownSetting): string => `${SWITCH_NAMES.indexOf(name)} ${bucket ?? ""}`;
  return [...settings].sort((a, b) => (key(a) < key(b) ? -1 : 1));
}
