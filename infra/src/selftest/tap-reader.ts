/** Reads tap's output as it comes: one line a file, everything that matters of a file that failed, the sum. */

export interface TapSum {
  passed: number;
  failed: number;
  /** Names of what was skipped, with the reason. */
  skipped: string[];
}

/** Lines that say nothing in a report of failures: passed assertions, plans, empty ones. */
const QUIET = /^\s*(ok \d+ - |1\.\.\d+|# time=|$)/;
const SUMMARY = /^# \{ (.*) \}$/;

export class TapReader {
  readonly #show: (line: string) => void;
  readonly #sum: TapSum = { passed: 0, failed: 0, skipped: [] };
  #rest = "";
  /** What came since the last file ended. */
  #lines: string[] = [];
  #summed = false;
  #inDiagnostics = false;

  constructor(show: (line: string) => void) {
    this.#show = show;
  }

  take(chunk: string): void {
    const lines = (this.#rest + chunk).split("\n");
    this.#rest = lines.pop()!;
    for (const line of lines) this.#line(line);
  }

  /** A run that ended without tap's own summary did not run to its end, which is a failure by itself. */
  end(): TapSum {
    if (this.#rest !== "") this.#line(this.#rest);
    if (!this.#summed) {
      for (const line of this.#lines) this.#show(line);
      this.#sum.failed += 1;
    }
    return this.#sum;
  }

  #line(line: string): void {
    const skip = /^\s*ok \d+ - (.*?) # SKIP ?(.*)$/.exec(line);
    if (skip) this.#sum.skipped.push(skip[2] ? `${skip[1]} (${skip[2]})` : skip[1]!);
    const summary = SUMMARY.exec(line);
    if (summary) return this.#sumUp(summary[1]!);
    const file = /^(not ok|ok) \d+ - (.*?)(?: # time=([\d.]+)ms)?$/.exec(line);
    if (file) return this.#fileEnds(file[1] === "ok", file[2]!, Number(file[3] ?? 0));
    if (this.#inDiagnostics) {
      this.#show(line);
      if (line === "  ...") this.#inDiagnostics = false;
      return;
    }
    this.#lines.push(line);
  }

  #fileEnds(ok: boolean, name: string, ms: number): void {
    if (!ok) for (const line of this.#lines) if (!QUIET.test(line)) this.#show(line);
    this.#show(`${ok ? "ok    " : "FAILED"} ${name} (${(ms / 1000).toFixed(1)} s)`);
    this.#lines = [];
    this.#inDiagnostics = !ok;
  }

  #sumUp(fields: string): void {
    const field = (name: string) => Number(new RegExp(`\\b${name}: (\\d+)`).exec(fields)?.[1] ?? 0);
    this.#sum.passed = field("pass");
    this.#sum.failed = field("fail");
    this.#summed = true;
  }
}
