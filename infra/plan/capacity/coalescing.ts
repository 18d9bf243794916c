/**
 * How many grabs share a call to Redis: a busy service sleeps until about so many have come, for a few milliseconds at most
 * (bucket-service/src/grab/breather.ts, decision 0014). These are its bounds; a test holds them against that file.
 */
export const BREATHER = Object.freeze({ gatherWanted: 48, restMsMax: 4 });
/** bucket-service/src/grab/grab-core.ts, grabPolicy: claims in one call, and calls of a process under way. */
export const CALLS = Object.freeze({ batchMax: 512, underWayMax: 4 });

/** Claims in a call of a process that is asked so often; one that waits longer for Redis gathers more, never fewer. */
export function batchOf(perSecond: number): number {
  const gathered = (perSecond * BREATHER.restMsMax) / 1000;
  return Math.min(BREATHER.gatherWanted, Math.max(1, gathered));
}

/** Grabs that a process can have answered each second when every call takes so long. */
export function callsBound(roundTripMs: number): number {
  return (CALLS.underWayMax * CALLS.batchMax * 1000) / Math.max(roundTripMs, 0.001);
}
