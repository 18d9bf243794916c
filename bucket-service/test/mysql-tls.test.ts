/** MySQL as RDS runs it: TLS only, with a certificate of an authority that the image trusts. */
import { createServer, type Server as TcpServer } from "node:net";
import { Readable } from "node:stream";
import { join } from "node:path";
import type { ResultSetHeader, RowDataPacket } from "mysql2/promise";
import { freePort, startMysql, temporaryState } from "@hongbao/infra";
import type { BucketPlace } from "@hongbao/preprocess";
import t from "tap";
import { mysqlConnection, mysqlPool } from "../src/mysql/connect.ts";
import { migrate } from "../src/mysql/migrate.ts";
import { makeAuthority } from "./certificates.ts";

const password = "fedcba9876543210";

t.test("MySQL over TLS: only a server that proves its name is told the password", async (t) => {
  const dir = temporaryState(t);
  const authority = makeAuthority(dir);
  const port = await freePort();
  const start = async (...extra: string[]) =>
    startMysql({ dir: join(dir, "mysql"), port, password, bufferPoolMiB: 16, extra });
  const withTls = (name: string) => {
    const { key, certificate } = authority.sign(name);
    const files = { ca: authority.file, cert: certificate, key };
    return start(
      "--require-secure-transport=ON",
      ...Object.entries(files).map(([option, file]) => `--ssl-${option}=${file}`),
    );
  };
  const place = (host: string): BucketPlace =>
    ({ id: "b0", mysql: { url: `mysql://hongbao@${host}:${port}`, tls: true } }) as BucketPlace;
  const refused = async (host: string, why: RegExp, what: string) =>
    t.rejects(mysqlConnection(place(host), password), { message: why }, what);

  const server = await withTls("localhost");
  t.teardown(() => server.stop());
  await refused("localhost", /certificate/, "an authority that nobody knows");
  authority.trust();

  const connection = await mysqlConnection(place("localhost"), password);
  await migrate(connection, "tls");
  const [[status]] = await connection.query<RowDataPacket[]>("SHOW STATUS LIKE 'Ssl_version'");
  t.match(status?.["Value"], /^TLSv1\.[23]$/);
  await connection.query("CREATE TEMPORARY TABLE hongbao_tls.lines (n INT PRIMARY KEY)");
  const [loaded] = await connection.query<ResultSetHeader>({
    sql: "LOAD DATA LOCAL INFILE 'stream' INTO TABLE hongbao_tls.lines",
    infileStreamFactory: () => Readable.from([Buffer.from("1\n2\n3\n")]),
  });
  t.equal(loaded.affectedRows, 3, "the pack's way in works over it");
  await connection.end();

  const pool = mysqlPool(place("localhost"), password, "tls");
  const rows = await Promise.all(
    Array.from({ length: 8 }, () => pool.query<RowDataPacket[]>("SELECT COUNT(*) AS n FROM claims")),
  );
  t.same([...new Set(rows.map(([[row]]) => row?.["n"] as number))], [0], "and so do a pool's connections");
  await pool.end();
  await server.stop();

  const other = await withTls("somewhere-else.example");
  t.teardown(() => other.stop());
  await refused("localhost", /altnames|Hostname\/IP/, "the right authority, another server's certificate");
  await other.stop();

  const plain = await start();
  t.teardown(() => plain.stop());
  await refused("localhost", /does not support secure/, "a server without TLS");
  await plain.stop();

  const silent: TcpServer = createServer((socket) => socket.resume()).listen(port, "127.0.0.1");
  t.teardown(() => silent.close());
  await refused("localhost", /ETIMEDOUT|timeout/i, "one that takes the connection and says nothing");
});
