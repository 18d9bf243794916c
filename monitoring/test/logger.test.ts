import t from "tap";
import { createLogger, createRegistry } from "../src/index.ts";

t.beforeEach(() => {
  delete process.env.HONGBAO_LOG;
});

/** A logger whose lines are kept, parsed. */
function keep(level?: string) {
  if (level !== undefined) process.env.HONGBAO_LOG = level;
  const lines: Record<string, unknown>[] = [];
  const write = (line: string): void => void lines.push(JSON.parse(line) as Record<string, unknown>);
  return {
    lines,
    log: createLogger({ role: "service", id: "s0", bucket: "b0" }, { destination: { write } }),
  };
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
  const write = (line: string): void => void lines.push(line);
  createLogger({ role: "controller", id: "c0" }, { destination: { write } }).warn("x");
  t.notMatch(lines[0], /bucket/);
});

t.test("who a user is stands in no line, nor a token or a round's key inside a text", async (t) => {
  const { lines, log } = keep();
  const token = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJ1MTcifQ.c2lnbmF0dXJl";
  const error = new Error(`POST /v1/rounds/1/grab?k=SeCrEt&n=2 with Bearer ${token} failed`);
  log.error({ err: error, claim: { user: "li.lei", prizeId: 7, round: 1 }, round: 1 }, "a request failed");
  log.warn(`redis://default:pa55word@10.0.0.1:6379 refused ${token}`);
  const text = JSON.stringify(lines);
  t.notMatch(text, /eyJ|SeCrEt|li\.lei|pa55word/);
  t.match(lines[0], { round: 1, claim: { prizeId: 7, user: "[hidden]" } });
  t.match(text, /grab\?k=\[hidden\]&n=2/);
});

t.test("warnings and errors are counted, also where nobody reads them", async (t) => {
  const registry = createRegistry({ labels: {} });
  const write = (): void => undefined;
  const log = createLogger({ role: "service", id: "s0" }, { registry, destination: { write } });
  log.info("i");
  log.warn("w");
  log.error("e");
  log.error({ round: 2 }, "e");
  const text = await registry.text();
  t.match(text, /^hongbao_log_lines_total\{level="warn"\} 1$/m);
  t.match(text, /^hongbao_log_lines_total\{level="error"\} 2$/m);
  t.match(text, /^hongbao_log_lines_total\{level="fatal"\} 0$/m);
});
