/** The Debian packages that a command needs: looked for first, installed when they are missing. */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { say, Unreachable } from "@hongbao/preprocess";
import { findBinary } from "../servers/binaries.ts";

/** Each package with the programs (or a file, by its path) that show that it is there; every one is needed, `a|b` takes either. */
const PROGRAMS = {
  "redis-server": ["redis-server"],
  "mariadb-server": ["mariadbd|mysqld", "mariadb-install-db|mysql_install_db"],
  haproxy: ["haproxy"],
  wrk: ["wrk"],
  nginx: ["nginx"],
  "libnginx-mod-http-lua": ["/usr/lib/nginx/modules/ngx_http_lua_module.so"],
  strace: ["strace"],
  faketime: ["faketime"],
  chromium: ["chromium|chromium-browser|google-chrome"],
  "fonts-wqy-microhei": ["/usr/share/fonts/truetype/wqy/wqy-microhei.ttc"],
  "util-linux": ["setpriv"],
  prometheus: ["prometheus", "promtool"],
  "prometheus-alertmanager": ["prometheus-alertmanager|alertmanager", "amtool"],
  "prometheus-node-exporter": ["prometheus-node-exporter|node_exporter"],
  "prometheus-redis-exporter": ["prometheus-redis-exporter|redis_exporter"],
  "prometheus-mysqld-exporter": ["prometheus-mysqld-exporter|mysqld_exporter"],
} satisfies Record<string, string[]>;

export type Package = keyof typeof PROGRAMS;

const OUTPUT_LINES_MAX = 400;

/** What this part asks of the machine; tests bring one of their own. */
export interface System {
  find(...names: string[]): string | null;
  isRoot(): boolean;
  run(words: string[]): Promise<{ code: number; output: string }>;
}

const thisSystem: System = { find: findProgram, isRoot: () => process.getuid?.() === 0, run };

function findProgram(...names: string[]): string | null {
  const isPath = (name: string): boolean => name.startsWith("/");
  return (
    names.find((name) => isPath(name) && existsSync(name)) ??
    findBinary(...names.filter((name) => !isPath(name)))
  );
}

export function missingPackages(packages: readonly Package[], system: System = thisSystem): Package[] {
  return packages.filter((name) =>
    PROGRAMS[name].some((either) => system.find(...either.split("|")) === null),
  );
}

/**
 * Returns when all of them are installed. As root or with a sudo that asks no password it installs what is missing,
 * starting no service and removing nothing; else it throws Unreachable with the commands to type.
 */
export async function ensurePackages(
  packages: readonly Package[],
  system: System = thisSystem,
): Promise<void> {
  const missing = missingPackages(packages, system);
  if (missing.length === 0) return;
  const names = missing.join(" ");
  if (system.find("apt-get") === null) {
    throw new Unreachable(`not installed: ${names}; this system has no apt-get, so install them by hand`);
  }
  const sudo = await rootPrefix(system);
  if (sudo === null) {
    const commands = [`sudo apt-get update`, `sudo apt-get install -y --no-install-recommends ${names}`];
    say(
      `These packages are missing and installing them takes root:\n${commands.map((c) => `  ${c}`).join("\n")}`,
    );
    throw new Unreachable(`not installed: ${names}; run: ${commands.join(" && ")}`);
  }
  say(`Installing ${names} (apt) ...`);
  const { code, output } = await system.run([...sudo, "sh", join(import.meta.dirname, "apt.sh"), ...missing]);
  const still = missingPackages(packages, system);
  if (code === 0 && still.length === 0) return;
  say(output);
  throw new Unreachable(
    `could not install ${(still.length > 0 ? still : missing).join(" ")} with apt; see above`,
  );
}

/** The words to put before a command so that it runs as root; null when there is no way. */
async function rootPrefix(system: System): Promise<string[] | null> {
  if (system.isRoot()) return [];
  if (system.find("sudo") === null) return null;
  return (await system.run(["sudo", "-n", "true"])).code === 0 ? ["sudo", "-n"] : null;
}

function run(words: string[]): Promise<{ code: number; output: string }> {
  return new Promise((resolve) => {
    const child = spawn(words[0]!, words.slice(1), { stdio: ["ignore", "pipe", "pipe"] });
    let lines: string[] = [];
    const take = (chunk: Buffer) => (lines = [...lines, chunk.toString("utf8")].slice(-OUTPUT_LINES_MAX));
    child.stdout.on("data", take);
    child.stderr.on("data", take);
    child.once("error", (error) => resolve({ code: 127, output: error.message }));
    child.once("close", (code) => resolve({ code: code ?? 1, output: lines.join("").trimEnd() }));
  });
}
