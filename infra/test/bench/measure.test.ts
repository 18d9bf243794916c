import { spawn } from "node:child_process";
import t from "tap";
import { median, pairedRatio, significant, spread } from "../../bench/measure/medians.ts";
import { cpuUs, parsePeak, parseStat, peakBytes, withDescendants } from "../../bench/measure/proc.ts";
import { winFaults } from "../../bench/measure/sample.ts";
import { parseWrk, wrkWords } from "../../bench/measure/wrk.ts";

const REPORT =
  '{"requests":30000,"durationUs":2000000,"bytes":1,"connect":1,"read":2,"write":3,"status":5,"timeout":4,' +
  '"p50Us":1500,"p99Us":9000,"p999Us":20500,"maxUs":30000,"wins":7,"ended":8,"others":9,"winsUs":500000,' +
  '"exhausted":false,"cpuUs":270000}';

t.test("wrk's report is read from the last line of its script", async (t) => {
  const result = parseWrk(
    `Running 2s test\n  3 threads\nhongbao-wrk {"requests":1}\nhongbao-wrk ${REPORT}\n`,
  );
  t.match(result, {
    answered: 30_000,
    refused: 5,
    socketErrors: 10,
    perSecond: 15_000,
    latencyMs: { p50: 1.5, p99: 9, p999: 20.5, max: 30 },
    wins: 7,
    ended: 8,
    others: 9,
    winsSeconds: 0.5,
    exhausted: false,
    cpuUs: 270_000,
  });
});

t.test("a wrk that said nothing is shown with its own last words", async (t) => {
  t.throws(() => parseWrk("unable to connect to 127.0.0.1:1 Connection refused\n"), /Connection refused/);
  t.throws(() => parseWrk(""), /no output/);
  t.throws(() => parseWrk('hongbao-wrk {"requests":1}'), /durationUs/);
});

t.test("a load becomes wrk's words", async (t) => {
  const words = wrkWords(
    {
      url: "http://127.0.0.1:1",
      method: "POST",
      paths: ["/a?k=1", "/b"],
      identities: { file: "f", header: "X-User: " },
      ends: "stop",
      countsAnswers: true,
    },
    { seconds: 3, connections: 16, threads: 2 },
  );
  t.match(
    words.join(" "),
    /^-t2 -c16 -d3s .* http:\/\/127\.0\.0\.1:1 -- method=POST paths=\/a\?k=1;\/b lines=f/,
  );
  t.ok(words.includes("header=X-User: "));
  t.ok(words.includes("ends=stop") && words.includes("count=1") && !words.includes("close=1"));
});

t.test("medians, and ratios of runs that followed each other", async (t) => {
  t.equal(median([3, 1, 2]), 2);
  t.equal(median([4, 1, 2, 3]), 2.5);
  t.ok(Number.isNaN(median([])));
  // The machine was half as fast in the second round; the ratio does not mind.
  t.equal(pairedRatio([100, 50, 100], [50, 25, 50]), 2);
  t.equal(pairedRatio([6], [3, 1]), 2);
  t.equal(spread([90, 100, 120]), 0.3);
  t.equal(significant(0.284_37), 0.284);
  t.equal(significant(31_234.5), 31_200);
});

t.test("/proc/PID/stat, with a name that holds blanks and parentheses", async (t) => {
  const line =
    "7 (a (b) c) S 3 7 7 0 -1 4194304 100 0 0 0 150 50 20 5 20 0 1 0 99 1000 10 18446744073709551615";
  t.same(parseStat(line), { parent: 3, ticks: 225 });
  t.throws(() => parseStat("nonsense"), /expected the fields/);
  t.equal(parsePeak("Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t 1 kB\n"), 2 * 1024 * 1024);
  t.equal(parsePeak("Name:\tkthread\n"), 0);
});

t.test("CPU time and memory count children with their parents", async (t) => {
  const burn = "const end = Date.now() + 200; while (Date.now() < end);";
  const script = `require("node:child_process").spawnSync(process.execPath, ["-e", ${JSON.stringify(burn)}]); setTimeout(() => {}, 60000); console.error("done")`;
  const child = spawn(process.execPath, ["-e", script], { stdio: ["ignore", "ignore", "pipe"] });
  t.teardown(() => child.kill("SIGKILL"));
  await new Promise((resolve) => child.stderr.once("data", resolve));
  t.ok(withDescendants([process.pid]).includes(child.pid!), "a child is found below its parent");
  t.ok(cpuUs([child.pid!]) >= 150_000, "the time of a child that ended counts for its parent");
  t.ok(peakBytes([child.pid!]) > 1024 * 1024);
  t.equal(cpuUs([0x7fff_fffe]), 0, "a process that is gone costs nothing");
});

t.test("every answer must be a win, but for those on their way at the end", async (t) => {
  const wrk = parseWrk(`hongbao-wrk ${REPORT}`);
  const counted = 30_000 - 5;
  t.same(winFaults(wrk, counted, 64), []);
  t.same(winFaults(wrk, counted + 64, 64), []);
  t.equal(winFaults(wrk, counted - 1, 64).length, 1, "an answer that was no win");
  t.equal(winFaults(wrk, counted + 65, 64).length, 1, "a win that nobody was told about");
});
