import t from "tap";
import { CATALOGUE, createRegistry, METRIC_PREFIX } from "../src/index.ts";
import type { LabelsOf } from "../src/index.ts";

const IDENTITY = { role: "service", id: "s0", bucket: "b0" };

/** The lines of one metric. */
async function linesOf(registry: ReturnType<typeof createRegistry>, name: string): Promise<string[]> {
  return (await registry.text()).split("\n").filter((line) => line.startsWith(METRIC_PREFIX + name));
}

t.test("counters count, with the process's labels on them", async (t) => {
  const registry = createRegistry({ labels: IDENTITY });
  const requests = registry.counter("http_requests_total");
  requests.inc({ door: "http", route: "grab", result: "won" });
  requests.inc({ door: "http", route: "grab", result: "won" }, 2);
  const won = requests.with({ door: "spop", route: "grab", result: "won" });
  won.inc();
  won.inc(4);
  t.same(await linesOf(registry, "http_requests_total"), [
    'hongbao_http_requests_total{door="http",route="grab",result="won",role="service",id="s0",bucket="b0"} 3',
    'hongbao_http_requests_total{door="spop",route="grab",result="won",role="service",id="s0",bucket="b0"} 5',
  ]);
});

t.test("gauges are set, moved and forgotten", async (t) => {
  const registry = createRegistry({ labels: {} });
  const left = registry.gauge("prizes_left");
  left.set({ round: "1" }, 10);
  left.inc({ round: "1" }, -3);
  t.same(await linesOf(registry, "prizes_left"), ['hongbao_prizes_left{round="1"} 7']);
  left.reset();
  t.same(await linesOf(registry, "prizes_left"), []);
});

t.test("histograms have the buckets of the catalogue", async (t) => {
  const registry = createRegistry({ labels: {} });
  registry.histogram("batch_size").observe({}, 3);
  registry.histogram("batch_size").with({}).observe(5);
  const lines = await linesOf(registry, "batch_size");
  t.ok(lines.includes('hongbao_batch_size_bucket{le="4"} 1'));
  t.ok(lines.includes('hongbao_batch_size_bucket{le="8"} 2'));
  t.ok(lines.includes("hongbao_batch_size_sum 8"));
});

t.test("a label value that is not in the list, or one too many, becomes other", async (t) => {
  const registry = createRegistry({ labels: {} });
  const odd = {
    door: "http",
    route: "grab",
    result: "exploded",
  } as unknown as LabelsOf<"http_requests_total">;
  registry.counter("http_requests_total").inc(odd);
  t.match((await linesOf(registry, "http_requests_total")).join(), /result="other"\} 1/);
  const offset = registry.gauge("clock_offset_seconds");
  for (let i = 0; i < 1000; i++) offset.set({ bucket: `b${i}` }, i);
  const lines = await linesOf(registry, "clock_offset_seconds");
  t.equal(lines.length, 257, "256 buckets and other");
  t.equal(lines.filter((line) => line.includes('"other"')).length, 1);
});

t.test("what is set at collection is seen, and a failing hook harms nobody", async (t) => {
  const registry = createRegistry({ labels: {} });
  registry.onCollect(async () => {
    throw new Error("redis is away");
  });
  registry.onCollect(() => {
    throw new Error("so is mysql");
  });
  registry.onCollect(async () => registry.gauge("journal_waiting").set({}, 42));
  t.same(await linesOf(registry, "journal_waiting"), ["hongbao_journal_waiting 42"]);
});

t.test("every metric of the catalogue is there, and the process's own are too", async (t) => {
  const registry = createRegistry({ labels: {} });
  const text = await registry.text();
  for (const { name, type } of CATALOGUE) t.ok(text.includes(`# TYPE hongbao_${name} ${type}\n`), name);
  t.match(text, /^process_cpu_seconds_total /m);
  t.match(registry.contentType, /^text\/plain/);
});

t.test("who asks for a counter has it, as 0, before anything happens", async (t) => {
  const registry = createRegistry({ labels: {} });
  t.same(await linesOf(registry, "payout_guarded_total"), []);
  registry.counter("payout_guarded_total");
  t.same(await linesOf(registry, "payout_guarded_total"), ["hongbao_payout_guarded_total 0"]);
  t.same(await linesOf(registry, "persist_rows_total"), []);
  registry.counter("persist_rows_total").with({ outcome: "violation" });
  t.same(await linesOf(registry, "persist_rows_total"), [
    'hongbao_persist_rows_total{outcome="violation"} 0',
  ]);
});

t.test("switched off, nothing is kept and everything can still be called", async (t) => {
  process.env.HONGBAO_METRICS = "off";
  t.teardown(() => delete process.env.HONGBAO_METRICS);
  const registry = createRegistry({ labels: {} });
  t.equal(registry.enabled, false);
  registry.counter("payout_guarded_total").inc({});
  registry.gauge("journal_waiting").set({}, 1);
  registry.histogram("batch_size").with({}).observe(1);
  registry.onCollect(() => void t.fail("nobody collects"));
  t.equal(await registry.text(), "");
});

t.test("two registries of one process do not mix", async (t) => {
  const [one, two] = [createRegistry({ labels: {} }), createRegistry({ labels: {} })];
  one.gauge("journal_waiting").set({}, 1);
  two.gauge("journal_waiting").set({}, 2);
  t.same(await linesOf(one, "journal_waiting"), ["hongbao_journal_waiting 1"]);
});
