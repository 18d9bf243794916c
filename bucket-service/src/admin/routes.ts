import { createHash } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { Router } from "@koa/router";
import type { Pool } from "mysql2/promise";
import type { BucketPlace, Pack } from "@hongbao/preprocess";
import type { BucketView } from "../grab/bucket-view.ts";
import { recordRound } from "../mysql/bucket-record.ts";
import { Mover } from "../moves/mover.ts";
import { moveRoutes } from "../moves/routes.ts";
import { leftOf, phaseOf, type BucketStore } from "../redis/scripts.ts";
import type { AdminState, RoundRecord } from "./client.ts";
import { AdminError, readJson } from "./server.ts";

const STATE_WAIT_MS_MAX = 100;

/** What a bucket process shows the operator and the conductor. */
export function bucketRoutes(parts: {
  frame: { bucket: BucketPlace; pack: Pack; id: string };
  roles: string[];
  store: BucketStore;
  pool: Pool;
  view: BucketView;
  mysqlUp: () => boolean;
}): (router: Router) => void {
  const { frame, store, pool, view } = parts;
  const mover = new Mover({
    bucket: frame.bucket.id,
    pack: frame.pack,
    store,
    pool,
    seq: () => view.seq,
  });
  return (router) => {
    moveRoutes({ pack: frame.pack, store, view, mover })(router);
    router.get("/state", async (context) => {
      // As fresh as Redis lets it be; a frozen one must not hold the operator's look up.
      await Promise.race([view.refresh(), sleep(STATE_WAIT_MS_MAX)]);
      context.body = adminState(parts);
    });
    router.put("/rounds/:round", async (context) => {
      const round = Number(context.params["round"]);
      if (!frame.pack.manifest.rounds.some(({ id }) => id === round)) {
        throw new AdminError(
          404,
          `round: found ${context.params["round"]}, expected one of the event's rounds`,
        );
      }
      const record = checkRecord(await readJson(context));
      // MySQL may be away without keeping a round from opening; its row is the younger copy.
      const [{ result, v }] = await Promise.all([
        store.installRound(round, record),
        recordRound(pool, round, record).catch(() => undefined),
      ]);
      await view.refresh();
      context.status = result === "stale" ? 409 : 200;
      context.body = { v, applied: result === "applied" };
    });
  };
}

function adminState({ frame, roles, view, mysqlUp }: Parameters<typeof bucketRoutes>[0]): AdminState {
  const state = view.state;
  return {
    event: frame.pack.manifest.event.id,
    bucket: frame.bucket.id,
    id: frame.id,
    roles,
    packDigest: frame.pack.digest,
    epoch: state?.epoch ?? "",
    moves: state?.moves ?? 0,
    timeMs: Math.round(view.nowMs()),
    fenced: view.fenceReason,
    journal: { waiting: state === null ? 0 : state.seq - state.acked },
    redis: view.trust === "ok" || view.trust === "fenced" ? "ok" : "down",
    mysql: mysqlUp() ? "ok" : "down",
    rounds: (state?.rounds ?? []).map((round) => ({
      round: round.round,
      v: round.v,
      opensAtMs: round.opensAtMs,
      closesAtMs: round.closesAtMs,
      hasKey: round.key !== "",
      keyHash: round.key === "" ? null : createHash("sha256").update(round.key).digest("hex"),
      stock: round.stock,
      left: leftOf(round),
      issued: round.issued,
      state: phaseOf(round, view.nowMs()),
      dry: leftOf(round) === 0 && round.dryAtMs !== null,
      final: leftOf(round) === 0 && round.final === round.stock,
    })),
  };
}

const KEY_LENGTH_MAX = 128;

function checkRecord(body: Record<string, unknown>): RoundRecord {
  const time = (name: string): number | null => {
    const value = body[name];
    if (value === null || (typeof value === "number" && Number.isSafeInteger(value) && value > 0))
      return value;
    throw new AdminError(400, `${name}: found ${JSON.stringify(value)}, expected ms since 1970 or null`);
  };
  const { v, key } = body;
  if (typeof v !== "number" || !Number.isSafeInteger(v) || v < 1) {
    throw new AdminError(400, `v: found ${JSON.stringify(v)}, expected a whole number from 1`);
  }
  if (
    key !== null &&
    (typeof key !== "string" || !/^[A-Za-z0-9_-]+$/.test(key) || key.length > KEY_LENGTH_MAX)
  ) {
    throw new AdminError(400, `key: expected null or up to ${KEY_LENGTH_MAX} of A-Z a-z 0-9 _ -`);
  }
  return { v, opensAtMs: time("opensAtMs"), closesAtMs: time("closesAtMs"), key };
}
