/** A private MariaDB: durable at every commit, bound to loopback, one user that owns the hongbao databases. */
import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { userInfo } from "node:os";
import { join } from "node:path";
import { Unreachable } from "@hongbao/preprocess";
import { logTail, spawnChild } from "../processes/child.ts";
import { freePort } from "../processes/ports.ts";
import { waitUntil } from "../processes/wait.ts";
import { needBinary } from "./binaries.ts";
import { asServer, privateDir, type Server, type ServerOptions } from "./server.ts";

export interface MysqlOptions extends ServerOptions {
  bufferPoolMiB?: number;
}

export const MYSQL_USER = "hongbao";
const BUFFER_POOL_MIB = 256;
const LOG_FILE_MIB = 96;
/** A crash recovery may have a lot to read. */
const READY_MS_MAX = 120_000;
const ASK_MS_MAX = 2_000;
/** A flush of the buffer pool to a slow disk. */
const GRACE_MS_MAX = 30_000;

/** Makes the data directory when it is missing, starts MariaDB and returns when it answers. */
export async function startMysql(options: MysqlOptions): Promise<Server> {
  const binary = needBinary("mariadb-server", "mariadbd", "mysqld");
  privateDir(options.dir);
  const tmp = join(options.dir, "tmp");
  rmSync(tmp, { recursive: true, force: true });
  mkdirSync(tmp, { mode: 0o700 });
  const logPath = options.logPath ?? join(options.dir, "mysql.log");
  const name = options.name ?? "mysql";
  const data = join(options.dir, "data");
  if (!existsSync(data)) await installData(name, options.dir, data, tmp, logPath);
  const port = options.port ?? (await freePort());
  const initPath = join(options.dir, "init.sql");
  writeFileSync(initPath, initSql(options.password), { mode: 0o600 });
  const child = await spawnChild({
    name,
    command: binary,
    args: [...mysqlArgs(options, { data, tmp, port, initPath }), ...(options.extra ?? [])],
    cwd: options.dir,
    logPath,
    graceMsMax: GRACE_MS_MAX,
  });
  const { signal } = options;
  const wait = {
    what: name,
    timeoutMsMax: READY_MS_MAX,
    intervalMs: 20,
    child,
    ...(signal ? { signal } : {}),
  };
  try {
    await waitUntil(() => mysqlAnswers(port), wait);
  } catch (error) {
    await child.stop();
    throw error;
  }
  return asServer(child, "mysql", MYSQL_USER, port, options.password);
}

/** Writes beside the goal and renames, so that an interrupted installation is not taken for a finished one. */
async function installData(
  name: string,
  dir: string,
  data: string,
  tmp: string,
  logPath: string,
): Promise<void> {
  const half = join(dir, "data.new");
  rmSync(half, { recursive: true, force: true });
  const child = await spawnChild({
    name: `${name} (data directory)`,
    command: needBinary("mariadb-server", "mariadb-install-db", "mysql_install_db"),
    args: [
      "--no-defaults",
      // Relative to `cwd`, and TMPDIR instead of an option, because the script breaks paths with blanks apart.
      "--datadir=./data.new",
      // Root gets in by the socket and our own user only: no passwordless account on the port.
      "--auth-root-authentication-method=socket",
      `--auth-root-socket-user=${ourName()}`,
      "--skip-test-db",
      "--skip-name-resolve",
      ...asUser(),
    ],
    env: { TMPDIR: tmp },
    cwd: dir,
    logPath,
  });
  const exit = await child.exited;
  if (exit.code !== 0) {
    rmSync(half, { recursive: true, force: true });
    throw new Unreachable(`${name}: mariadb-install-db failed (log ${logPath}: ${logTail(logPath, 1)})`);
  }
  renameSync(half, data);
}

/** A container may run us under a number that has no name. */
function ourName(): string {
  try {
    return userInfo().username;
  } catch {
    return "root";
  }
}

/** MariaDB refuses to run as root unless it is told to; another user would clear the die-with-parent signal. */
function asUser(): string[] {
  return process.getuid?.() === 0 ? ["--user=root"] : [];
}

interface Places {
  data: string;
  tmp: string;
  port: number;
  initPath: string;
}

function mysqlArgs(options: MysqlOptions, at: Places): string[] {
  return [
    "--no-defaults",
    `--datadir=${at.data}`,
    `--tmpdir=${at.tmp}`,
    // Relative to the data directory, where the server goes: a socket's whole path may have 107 bytes only.
    "--socket=mysql.sock",
    `--pid-file=${join(options.dir, "mysql.pid")}`,
    `--init-file=${at.initPath}`,
    "--bind-address=127.0.0.1",
    `--port=${at.port}`,
    ...asUser(),
    "--skip-log-bin",
    "--skip-name-resolve",
    "--performance-schema=OFF",
    "--innodb-flush-log-at-trx-commit=1",
    `--innodb-buffer-pool-size=${options.bufferPoolMiB ?? BUFFER_POOL_MIB}M`,
    `--innodb-log-file-size=${LOG_FILE_MIB}M`,
    "--character-set-server=utf8mb4",
    "--collation-server=utf8mb4_general_ci",
    "--default-time-zone=+00:00",
    "--sql-mode=STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION",
    "--transaction-isolation=READ-COMMITTED",
    "--local-infile=1",
    "--max-connections=200",
    "--max-allowed-packet=64M",
  ];
}

/** Run by the server at every start before it takes connections; one statement a line. */
function initSql(password = ""): string {
  const user = `'${MYSQL_USER}'@'127.0.0.1'`;
  return [
    `CREATE USER IF NOT EXISTS ${user};`,
    `ALTER USER ${user} IDENTIFIED BY '${password.replace(/[\\']/g, "\\$&")}';`,
    `GRANT ALL PRIVILEGES ON \`hongbao\\_%\`.* TO ${user};`,
    `GRANT PROCESS, SLAVE MONITOR ON *.* TO ${user};`,
    "",
  ].join("\n");
}

/** True when the server sends its greeting: it does so only after recovery and the init file. */
export function mysqlAnswers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: "127.0.0.1", port, timeout: ASK_MS_MAX });
    const done = (ok: boolean) => {
      socket.destroy();
      resolve(ok);
    };
    socket.once("error", () => done(false));
    socket.once("timeout", () => done(false));
    socket.once("close", () => done(false));
    // Four bytes of packet header, then the protocol version; 0xff would be an error packet.
    socket.once("data", (chunk) => done(chunk[4] === 10));
  });
}
