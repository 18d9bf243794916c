import t from "tap";
import { createLogger } from "../src/index.ts";

t.beforeEach(() => {
  delete process.env.HONGBAO_LOG;
});

/** A logger whose lines are kept, parsed. */
function keep(level?: string) {
  if (level !== undefined) process.env.HONGBAO_LOG = level;
  const lines: Record<string, unknown>[] = [];
  const write = (line: string): void => void lines.push(JSON.parse(line) as Record<string, unknown>);
  return { lines, log: createLogger({ role: "service", id: "s0", bucket: "b0" }, { write }) };
}

t.test("a line says when, who and what", async (t) => {
  const { lines, log } = keep();
  log.info({ round: 1 }, "opened");
  t.match(lines, [{ level: "info", role: "service", id: "s0", bucket: "b0", round: 1, msg: "opened" }]);
  t.match(lines[0]?.time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
});

t.test("the level comes from the environment; an unknown one means info", async (t) => {
  const counts: Record<string, number> = {};
  for (const level of ["debug", "info", "error", "silent", "loud"]) {
    const { lines, log } = keep(level);
    log.debug("d");
    log.info("i");
    log.error("e");
    counts[level] = lines.length;
  }
  t.same(counts, { debug: 3, info: 2, error: 1, silent: 0, loud: 2 });
});

t.test("secrets are hidden wherever they stand", async (t) => {
  const { lines, log } = keep();
  log.info(
    { token: "s3cret", req: { cookie: "s3cret", headers: { authorization: "Bearer s3cret", host: "h" } } },
    "x",
  );
  t.notMatch(JSON.stringify(lines), /s3cret/);
  t.match(lines[0], { token: "[hidden]", req: { headers: { authorization: "[hidden]", host: "h" } } });
});

t.test("a process without a bucket names none", async (t) => {
  const lines: string[] = [];
  createLogger({ role: "controller", id: "c0" }, { write: (line) => void lines.push(line) }).warn("x");
  t.notMatch(lines[0], /bucket/);
});
