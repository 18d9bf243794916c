import t from "tap";
import type { RebuildClient, RebuildReport } from "@hongbao/bucket-service";
import { CheckFailed, Unreachable } from "@hongbao/preprocess";
import { carryOut } from "../../src/operate/rebuild.ts";

const report: RebuildReport = { outcome: "resumed", epoch: "e", claims: 5, salvaged: 0, rounds: [] };
const gone = async (): Promise<never> => {
  throw new Unreachable("ECONNREFUSED");
};
const running = { state: "running", at: { step: "filling", done: 1, total: 5 } } as const;

function process(id: string, started: string[], parts: Partial<RebuildClient>) {
  const start = async () => {
    started.push(id);
    return running;
  };
  return { id, client: { start, ...parts } as RebuildClient };
}

t.test("a process that dies while it rebuilds is followed by another, which ends it", async (t) => {
  const started: string[] = [];
  let asked = 0;
  const dying = async () => ((asked += 1) < 3 ? running : gone());
  const found = await carryOut(
    [
      process("s0", started, { start: gone }),
      process("s1", started, { job: dying }),
      process("s2", started, { job: async () => ({ state: "done", report }) }),
    ],
    { maybeOpened: [] },
  );
  t.same(found, report);
  t.same(started, ["s1", "s2"]);
});

t.test("one that was started anew in between is ordered again; one that fails says why", async (t) => {
  const started: string[] = [];
  let asked = 0;
  const restarted = async () => ((asked += 1) === 1 ? { state: "idle" } : { state: "done", report }) as never;
  t.same(await carryOut([process("s0", started, { job: restarted })], { maybeOpened: [] }), report);
  t.same(started, ["s0", "s0"]);
  const failing = process("s0", [], { job: async () => ({ state: "failed", error: "STALE" }) });
  await t.rejects(carryOut([failing], { maybeOpened: [] }), new CheckFailed("process s0: STALE"));
  await t.rejects(carryOut([process("s0", [], { start: gone })], { maybeOpened: [] }), Unreachable);
});
