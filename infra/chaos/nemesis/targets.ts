/** Who is meant by a target's name. */
import { BadInput } from "@hongbao/preprocess";
import { pick, type Random } from "../random.ts";
import type { Part } from "../stage/layout.ts";

/**
 * Parts of a target: a part's own name (`redis b0`, `service b1/s0`, `controller c1`, `balancer`), `KIND b0/all`, `KIND b0/one`
 * or `KIND one` (drawn), `KIND all`, `bucket b0` (all of it), `all`.
 */
export function partsOfTarget(target: string, parts: readonly Part[], random: Random): Part[] {
  const own = parts.find(({ name }) => name === target);
  if (own !== undefined) return [own];
  if (target === "all") return [...parts];
  const [, kind = "", bucket, which] = /^([a-z]+) (?:(b\d+)\/?)?(all|one)?$/.exec(target) ?? [];
  const found = parts.filter(
    (part) => (kind === "bucket" || part.kind === kind) && (bucket === undefined || part.bucket === bucket),
  );
  const isNamed = which !== undefined || kind === "bucket";
  if (found.length === 0 || !isNamed)
    throw new BadInput(
      `target: found "${target}", expected one of ${parts.map(({ name }) => name).join(", ")}`,
    );
  return which === "one" ? [pick(random, found)] : found;
}

/** The buckets that a target belongs to; null: not one bucket's matter. */
export function bucketOfTarget(target: string): string | null {
  if (/^(balancer|controller|all|clients)/.test(target)) return null;
  return /\bb\d+/.exec(target)?.[0] ?? null;
}
