import type { Router } from "@koa/router";
import { BadInput } from "@hongbao/preprocess";
import { RECEIPTS_MAX, type ReceiptDesk } from "../receipts/desk.ts";
import type { RebuildDesk } from "../rebuild/desk.ts";
import { previewRebuild } from "../rebuild/rebuild.ts";
import { burnedNow, releaseRound } from "../rebuild/release.ts";
import { AdminError, readJson } from "./server.ts";

/** What an operator orders after a loss: rebuild, receipts, release. */
export function rebuildRoutes(parts: {
  desk: RebuildDesk;
  receipts: ReceiptDesk;
  rounds: readonly number[];
  bucket: string;
  /** The highest seq that this process has seen. */
  seq: () => number;
}): (router: Router) => void {
  const { desk, receipts, rounds, bucket, seq } = parts;
  return (router) => {
    router.get("/rebuild", (context) => {
      context.body = desk.job;
    });
    router.post("/rebuild/preview", async (context) => {
      const { maybeOpened } = checkOrder(await readJson(context));
      context.body = await desk.withMysql((mysql) => previewRebuild({ ...desk.parts, mysql, maybeOpened }));
    });
    router.post("/rebuild", async (context) => {
      context.body = desk.start(checkOrder(await readJson(context)));
      context.status = 202;
    });
    router.post("/receipts", async (context) => {
      const list = (await readJson(context))["receipts"];
      if (!isReceiptList(list))
        throw new AdminError(400, `receipts: expected a list of up to ${RECEIPTS_MAX} texts`);
      context.body = { receipts: await receipts.take(list, null) };
    });
    router.get("/burned", async (context) => {
      context.body = { rounds: await desk.withMysql(burnedNow) };
    });
    router.post("/rounds/:round/release", async (context) => {
      const round = Number(context.params["round"]);
      if (!rounds.includes(round))
        throw new AdminError(
          404,
          `round: found ${context.params["round"]}, expected one of the event's rounds`,
        );
      try {
        context.body = await desk.withMysql((mysql) =>
          releaseRound({
            mysql,
            store: desk.parts.scripts.store,
            pack: desk.parts.pack,
            bucket,
            round,
            seq: seq(),
          }),
        );
      } catch (error) {
        if (error instanceof BadInput) throw new AdminError(409, error.message);
        throw error;
      }
    });
  };
}

export function isReceiptList(value: unknown): value is string[] {
  return (
    Array.isArray(value) && value.length <= RECEIPTS_MAX && value.every((each) => typeof each === "string")
  );
}

function checkOrder(body: Record<string, unknown>): { maybeOpened: number[]; force: boolean } {
  const { maybeOpened = [], force = false } = body;
  if (!Array.isArray(maybeOpened) || !maybeOpened.every((round) => Number.isInteger(round)))
    throw new AdminError(400, "maybeOpened: expected a list of rounds");
  if (typeof force !== "boolean") throw new AdminError(400, "force: expected true or false");
  return { maybeOpened: maybeOpened as number[], force };
}
