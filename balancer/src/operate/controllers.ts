/** Asks the controllers of a topology: the first one that answers. */
import {
  BadInput,
  findTopology,
  readSecrets,
  readTopology,
  Unreachable,
  type Topology,
} from "@hongbao/preprocess";
import { z } from "zod";
import { settingSchema } from "./switch-words.ts";

const ASK_MS_MAX = 5_000;

export interface Where {
  topology?: string;
  state?: string;
}

const bucketOfRound = z.object({
  id: z.string(),
  reachable: z.boolean(),
  /** Whether the bucket has the newest times (and key). */
  current: z.boolean(),
  state: z.enum(["scheduled", "open", "closed"]).optional(),
  stock: z.number().optional(),
  left: z.number().optional(),
  issued: z.number().optional(),
});

const transfer = z.object({
  n: z.number(),
  kind: z.enum(["lend", "roll"]),
  from: z.string(),
  to: z.string(),
  round: z.number(),
  toRound: z.number(),
  /** Wanted; null is all that is left. */
  count: z.number().nullable(),
  /** Prizes that left, once that is known. */
  moved: z.number(),
  state: z.enum(["leaving", "arriving", "done"]),
  /** Why it does not go on. */
  trouble: z.string().nullable(),
});

const stateSchema = z.object({
  id: z.string(),
  event: z.string(),
  leading: z.boolean(),
  store: z.enum(["ok", "down"]),
  nowMs: z.number().nullable(),
  serving: z.boolean(),
  /** The round under which a rehearsal is asked for, while there is one. */
  rehearsal: z.number().nullish(),
  buckets: z.array(
    z.object({
      id: z.string(),
      reachable: z.boolean(),
      clockOffsetMs: z.number().nullable(),
      fenced: z.string().nullable(),
      mysql: z.enum(["ok", "down"]),
      lagRows: z.number().nullable(),
    }),
  ),
  /** What is set at this moment. */
  switches: z.array(settingSchema),
  /** HAProxies, as far as they were heard lately; v is the version of the switches that they obey. */
  balancers: z.array(z.object({ id: z.string(), v: z.number().nullable(), requestsPerS: z.number() })),
  /** Those under way, and some that were done last. */
  transfers: z.array(transfer),
  rounds: z.array(
    z.object({
      round: z.number(),
      state: z.enum(["scheduled", "open", "closed"]),
      opensAtMs: z.number().nullable(),
      closesAtMs: z.number().nullable(),
      published: z.boolean(),
      marks: z.object({
        openInMs: z.record(z.string(), z.number()),
        publishedMs: z.number().nullable(),
        firstWinMs: z.number().nullable(),
      }),
      buckets: z.array(bucketOfRound),
    }),
  ),
});

export const readControllerState = (value: unknown): ControllerState | null =>
  stateSchema.safeParse(value).data ?? null;

/** What a controller's `GET /admin/state` says, as far as commands show it. */
export type ControllerState = z.infer<typeof stateSchema>;
export type ControllerTransfer = z.infer<typeof transfer>;
export type ControllerRound = ControllerState["rounds"][number];

export interface Controllers {
  topology: Topology;
  /** The state that one controller tells. */
  state(): Promise<ControllerState>;
  /** Each controller's own; null for one that does not answer. */
  states(): Promise<{ id: string; state: ControllerState | null }[]>;
  get(path: string): Promise<unknown>;
  /** Throws BadInput with the controller's words when it refuses. */
  post(path: string, body: unknown): Promise<unknown>;
}

/** Throws Unreachable (no topology, no secret) and BadInput. All calls throw Unreachable when no controller answers. */
export function openControllers(where: Where): Controllers {
  const topology = readTopology(findTopology(where.topology, where.state));
  const { operator } = readSecrets(topology, ["operator"]);
  const first = async (method: "GET" | "POST", path: string, body?: unknown): Promise<unknown> => {
    const failures: string[] = [];
    for (const { id, admin } of topology.controllers) {
      try {
        return await call(`http://${admin}${path}`, operator, method, body);
      } catch (error) {
        if (error instanceof BadInput) throw error;
        failures.push(`controller ${id} (${admin}): ${(error as Error).message}`);
      }
    }
    throw new Unreachable(failures.join("; "));
  };
  const read = (value: unknown): ControllerState => stateSchema.parse(value);
  return {
    topology,
    state: async () => read(await first("GET", "/admin/state")),
    states: () =>
      Promise.all(
        topology.controllers.map(async ({ id, admin }) => {
          const answer = await call(`http://${admin}/admin/state`, operator, "GET").catch(() => null);
          return { id, state: stateSchema.safeParse(answer).data ?? null };
        }),
      ),
    get: (path) => first("GET", path),
    post: (path, body) => first("POST", path, body),
  };
}

async function call(url: string, operator: string, method: string, body?: unknown): Promise<unknown> {
  const response = await fetch(url, {
    method,
    headers: { authorization: `Bearer ${operator}`, "content-type": "application/json" },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    signal: AbortSignal.timeout(ASK_MS_MAX),
  }).catch((error: Error) => {
    throw new Unreachable((error.cause as Error | undefined)?.message || error.message);
  });
  const answer: unknown = await response.json().catch(() => null);
  if (response.ok) return answer;
  const said = z.object({ error: z.string() }).safeParse(answer).data?.error ?? `answered ${response.status}`;
  if (response.status === 400) throw new BadInput(said);
  throw new Unreachable(said);
}
