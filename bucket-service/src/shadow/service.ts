/** The shadow in a service process: a second counter behind the same doors. */
import { bucketRoutes } from "../admin/routes.ts";
import { openCounter } from "../counter.ts";
import type { Frame } from "../frame.ts";
import type { ShadowPart } from "./host.ts";

/** Errors: BadInput. */
export async function startShadowService(frame: Frame): Promise<ShadowPart> {
  const counter = openCounter(frame);
  const { store, pool, view, mysqlUp, listener, desk } = counter;
  await counter.begin();
  return {
    listener,
    desk,
    routes: bucketRoutes({ frame, roles: ["grab"], store, pool, view, mysqlUp }),
    stop: () => counter.end(),
  };
}
