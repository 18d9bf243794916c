import t from "tap";
import type { Facts } from "../../bench/facts.ts";
import type { Sample, System } from "../../bench/measure/sample.ts";
import { summarise } from "../../bench/measure/sample.ts";
import { picture } from "../../bench/report/picture.ts";
import { isSound, reportText, type Report } from "../../bench/report/report.ts";
import { judge, ROWS } from "../../bench/rows.ts";

const system = (id: string): System => ({
  id,
  what: id,
  processes: () => ({}),
  begin: async () => ({ url: "", method: "GET", paths: [] }),
  settle: async () => ({ wins: 0, faults: [] }),
});

function run(id: string, perSecond: number, cpuUs: Record<string, number>, faults: string[] = []): Sample {
  return {
    system: id,
    wrk: {
      answered: perSecond,
      refused: 0,
      socketErrors: 0,
      seconds: 1,
      perSecond,
      latencyMs: { p50: 1, p99: 2, p999: 3, max: 4 },
      wins: 0,
      ended: 0,
      others: 0,
      winsSeconds: 0,
      exhausted: false,
      cpuUs: 1,
    },
    verdict: { wins: 0, faults },
    cpuUs,
    wrkUs: 5,
    peakMiB: { service: 80 },
    foreignCores: 0,
  };
}

function factsOf(runs: Record<string, Sample[]>): Facts {
  const series = Object.entries(runs).map(([id, samples]) => [id, { system: system(id), samples }] as const);
  return { series: new Map(series), faults: [] };
}

const plan = (id: string) => ROWS.find((row) => row.id === id)!;
/** A machine that needs twice as long for everything as the one that the targets were set on. */
const slow = factsOf({
  "floor-nginx": [run("floor-nginx", 50_000, { nginx: 20 })],
  hongbao: [run("hongbao", 16_000, { service: 12, haproxy: 40, redis: 5 })],
  "hongbao-one": [run("hongbao-one", 20_000, { service: 9, haproxy: 30, redis: 4 })],
  "nginx-lua": [run("nginx-lua", 12_000, { nginx: 40, redis: 30 })],
});

t.test("absolute targets are scaled by the floor, ratios are not", async (t) => {
  t.match(judge(plan("chain-wins"), slow), { figure: 32_000, raw: 16_000, kept: true, target: ">= 30000" });
  t.match(judge(plan("service-spop"), slow), { figure: 0.129, kept: true, unit: "ratio" });
  t.match(judge(plan("chain-nginx"), slow), { figure: 1.33, kept: true });
  t.match(judge(plan("service-spop-floor"), slow), { figure: 0.45, kept: true });
});

t.test("a target that is not reached is missed", async (t) => {
  const facts = factsOf({
    "floor-nginx": [run("floor-nginx", 1, { nginx: 10 })],
    hongbao: [run("hongbao", 20_000, { service: 15 })],
    "hongbao-one": [run("hongbao-one", 20_000, { service: 13 })],
    "nginx-lua": [run("nginx-lua", 25_000, { nginx: 40 })],
  });
  t.match(judge(plan("service-spop"), facts), { figure: 0.325, kept: false });
  t.match(judge(plan("chain-nginx"), facts), { figure: 0.8, kept: false });
  t.match(judge(plan("service-spop-floor"), facts), { figure: 1.3, kept: false });
});

t.test(
  "no figure is shown for a system whose result was wrong, nor for one that was not measured",
  async (t) => {
    const facts = factsOf({
      hongbao: [run("hongbao", 1, { service: 1 })],
      "nginx-lua": [run("nginx-lua", 1, { nginx: 1 }, ["one prize too many"])],
    });
    const row = judge(plan("chain-nginx"), facts);
    t.match(row, { figure: null, kept: false, faults: ["nginx-lua: one prize too many"] });
    t.match(judge(plan("persist-rate"), facts), { figure: null, faults: ["was not measured"] });
    facts.faults.push("audit: found something");
    t.match(judge(plan("chain-wins"), facts), { figure: null, faults: ["audit: found something"] });
  },
);

t.test("row IDs are unique, and each row says what it needs", async (t) => {
  t.equal(new Set(ROWS.map(({ id }) => id)).size, ROWS.length);
  t.ok(ROWS.every(({ needs }) => needs.length > 0));
});

t.test("the report shows kept, missed and refused, and draws what is right", async (t) => {
  const refused = judge(plan("persist-rate"), slow);
  const report: Report = {
    quick: false,
    startedAt: "2027-01-01T00:00:00Z",
    seconds: 1,
    machine: { processors: 2, model: "x < y", kernel: "6", node: "v24" },
    slowness: 2,
    rows: [judge(plan("chain-wins"), slow), refused],
    systems: [...slow.series.values()].map(summarise),
  };
  const text = reportText(report);
  t.match(text, /kept +chain-wins +>= 30000 +32000 +1\/s +raw 16000/);
  t.match(text, /REFUSED +persist-rate/);
  t.match(text, /Refused, because a result was wrong:\n {2}persist-rate: was not measured/);
  t.notOk(isSound(report));
  const svg = picture(report);
  t.match(svg, /^<svg .*<\/svg>\n$/s);
  t.match(svg, /Hongbao, SPOP door/);
  t.match(svg, /16,000\/s/);
});
