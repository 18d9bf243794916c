/** A private nginx: one process each, so that it dies with us; two of them share a port where two are wanted. */
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Unreachable } from "@hongbao/preprocess";
import { spawnChild, type Child } from "../../src/processes/child.ts";
import { freePort } from "../../src/processes/ports.ts";
import { waitUntil } from "../../src/processes/wait.ts";
import { needBinary } from "../../src/servers/binaries.ts";

export interface NginxOptions {
  dir: string;
  /** How many processes share the port. */
  processes?: number;
  /** Lines of the `http` block, above the server. */
  http?: string[];
  /** Lines of the `server` block. */
  server: string[];
  lua?: boolean;
}

export interface Nginx {
  port: number;
  url: string;
  pids: number[];
  stop: () => Promise<void>;
}

const MODULES = "/usr/lib/nginx/modules";
const READY_MS_MAX = 10_000;

export async function startNginx(options: NginxOptions): Promise<Nginx> {
  const binary = needBinary("nginx", "nginx");
  if (options.lua && !existsSync(join(MODULES, "ngx_http_lua_module.so"))) {
    throw new Unreachable("nginx has no Lua module (apt-get install libnginx-mod-http-lua)");
  }
  const port = await freePort();
  await using begun = new AsyncDisposableStack();
  const children: Child[] = [];
  for (let index = 0; index < (options.processes ?? 1); index++) {
    const dir = join(options.dir, String(index));
    mkdirSync(join(dir, "logs"), { recursive: true, mode: 0o700 });
    writeFileSync(join(dir, "nginx.conf"), nginxConfig(options, dir, port), { mode: 0o600 });
    const child = await spawnChild({
      name: "nginx",
      command: binary,
      args: ["-p", dir, "-c", join(dir, "nginx.conf"), "-e", join(dir, "logs", "error.log")],
      cwd: dir,
      logPath: join(dir, "logs", "error.log"),
    });
    begun.defer(async () => void (await child.stop()));
    children.push(child);
  }
  const url = `http://127.0.0.1:${port}`;
  for (const child of children) {
    const answers = async (): Promise<boolean> => (await fetch(`${url}/ready`)).ok;
    await waitUntil(answers, { what: child.name, timeoutMsMax: READY_MS_MAX, child });
  }
  const running = begun.move();
  return { port, url, pids: children.map(({ pid }) => pid), stop: () => running.disposeAsync() };
}

/** Without a master there is one process, which is a worker in all but name, and whose end we can be sure of. */
function nginxConfig({ http = [], server, lua = false }: NginxOptions, dir: string, port: number): string {
  const modules = lua ? ["ndk_http_module.so", "ngx_http_lua_module.so"] : [];
  return [
    ...modules.map((name) => `load_module ${MODULES}/${name};`),
    "daemon off;",
    "master_process off;",
    `pid ${dir}/nginx.pid;`,
    "worker_rlimit_nofile 16384;",
    "events { worker_connections 8192; }",
    "http {",
    "  access_log off;",
    "  keepalive_timeout 75s;",
    "  keepalive_requests 100000000;",
    "  default_type application/json;",
    ...["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(
      (name) => `  ${name}_temp_path ${dir}/${name};`,
    ),
    ...http.map((line) => `  ${line}`),
    "  server {",
    `    listen 127.0.0.1:${port} reuseport backlog=4096;`,
    '    location = /ready { return 200 "ok"; }',
    ...server.map((line) => `    ${line}`),
    "  }",
    "}",
    "",
  ].join("\n");
}
