import type { Router } from "@koa/router";
import type { Pack } from "@hongbao/preprocess";
import { AdminError, readJson } from "../admin/server.ts";
import type { BucketView } from "../grab/bucket-view.ts";
import type { BucketStore } from "../redis/scripts.ts";
import { MoveOutdated, MoveRefused, movePolicy, type Mover } from "./mover.ts";
import { MOVE_ID, type MoveKind } from "./note.ts";
import type { Run } from "./runs.ts";

/** The conductor's orders about stock: move it out, take it in, and that none comes any more. */
export function moveRoutes(parts: {
  pack: Pack;
  store: BucketStore;
  view: BucketView;
  mover: Mover;
}): (router: Router) => void {
  const { store, view, mover } = parts;
  const rounds = parts.pack.manifest.rounds.map(({ id }) => id);
  return (router) => {
    router.put("/rounds/:round/final", async (context) => {
      const round = wholeOf("round", Number(context.params["round"]), rounds);
      const { stock } = await readJson(context);
      context.body = { final: await store.setFinal(round, wholeOf("stock", stock)) };
      await view.refresh();
    });
    router.post("/moves/:id/out", async (context) => {
      const body = await readJson(context);
      const { count, epoch } = body;
      if (typeof epoch !== "string" || epoch === "")
        throw new AdminError(400, `epoch: found ${JSON.stringify(epoch)}, expected the bucket's epoch`);
      const order = {
        ...moveOf(context.params["id"], body, rounds),
        epoch,
        count: count === null ? null : wholeOf("count", count),
      };
      context.body = await answered(view, () => mover.out(order));
    });
    router.post("/moves/:id/in", async (context) => {
      const body = await readJson(context);
      const order = { ...moveOf(context.params["id"], body, rounds), runs: runsOf(body["runs"]) };
      context.body = await answered(view, () => mover.in(order));
    });
  };
}

/** 409: not so, or not now; 412: planned in another epoch; 503: ask again. */
async function answered<T>(view: BucketView, work: () => Promise<T>): Promise<T> {
  if (view.trust !== "ok") {
    throw new AdminError(503, `this bucket may not move prizes: ${view.fenceReason ?? "its Redis is away"}`);
  }
  try {
    return await work();
  } catch (error) {
    if (error instanceof MoveOutdated) throw new AdminError(412, error.message);
    if (error instanceof MoveRefused) throw new AdminError(409, error.message);
    if (/^(FENCED|LOST)/.test((error as Error).message)) view.callFailed(error);
    throw error;
  } finally {
    await view.refresh();
  }
}

function moveOf(
  id: string | undefined,
  body: Record<string, unknown>,
  rounds: number[],
): { id: string; kind: MoveKind; round: number; peerBucket: string; peerRound: number } {
  const { kind, peerBucket } = body;
  if (id === undefined || !MOVE_ID.test(id)) throw new AdminError(400, `move: found "${id}", expected an ID`);
  if (kind !== "lend" && kind !== "roll")
    throw new AdminError(400, `kind: found ${JSON.stringify(kind)}, expected "lend" or "roll"`);
  if (typeof peerBucket !== "string" || !/^[a-z0-9-]{1,32}$/.test(peerBucket))
    throw new AdminError(400, `peerBucket: found ${JSON.stringify(peerBucket)}, expected a bucket's ID`);
  return {
    id,
    kind,
    round: wholeOf("round", body["round"], rounds),
    peerBucket,
    peerRound: wholeOf("peerRound", body["peerRound"], rounds),
  };
}

function wholeOf(name: string, value: unknown, among?: number[]): number {
  const isWhole = typeof value === "number" && Number.isSafeInteger(value) && value >= 1;
  if (isWhole && (among === undefined || among.includes(value))) return value;
  const expected = among === undefined ? "a whole number from 1" : `one of the event's rounds`;
  throw new AdminError(400, `${name}: found ${JSON.stringify(value)}, expected ${expected}`);
}

function runsOf(value: unknown): Run[] {
  const isRuns = Array.isArray(value) && value.length >= 1 && value.length <= movePolicy.runsMax;
  if (!isRuns) throw new AdminError(400, `runs: expected a list of 1 to ${movePolicy.runsMax} runs`);
  return value.map((run: unknown) => {
    const { lo, count } = (run ?? {}) as Record<string, unknown>;
    return { lo: wholeOf("lo", lo), count: wholeOf("count", count) };
  });
}
