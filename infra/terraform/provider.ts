/**
 * A Terraform provider that knows a schema and nothing else: enough for `terraform init`, `validate` and, with
 * `mock_provider`, `terraform test`, without a network and without an account. Terraform starts it like any other provider
 * (go-plugin: one line on stdout, then gRPC over HTTP/2 on loopback), so what validates here is what Terraform itself
 * validates against a schema; it knows no enumerations, no conflicts and no AWS.
 *
 *     node provider.ts SCHEMA.json
 */
import { readFileSync } from "node:fs";
import { createServer, type ServerHttp2Session, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo } from "node:net";
import type { Attribute, Block, NestedBlock } from "./bindings.ts";
import type { ProviderSchema } from "./schema.ts";

/** Protocol buffers, the writing half; field numbers are those of Terraform's tfplugin5.proto. */
function varint(value: number): Buffer {
  const bytes: number[] = [];
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) return Buffer.from([...bytes, rest]);
    bytes.push((rest % 128) | 128);
  }
}

const whole = (field: number, value: number): Buffer => Buffer.concat([varint(field << 3), varint(value)]);
const flag = (field: number, value: boolean | undefined): Buffer =>
  value ? whole(field, 1) : Buffer.alloc(0);

function bytes(field: number, value: Buffer | string): Buffer {
  const data = Buffer.from(value);
  return Buffer.concat([varint((field << 3) | 2), varint(data.length), data]);
}

/** Not stored by Terraform, and not shown by it. */
const isWriteOnly = (name: string): boolean => name.endsWith("_wo");
const SENSITIVE = new Set([
  "auth_token",
  "password",
  "secret_string",
  "random_password",
  "auth_token_wo",
  "password_wo",
  "secret_string_wo",
]);

function attribute([name, { type, required, optional, computed }]: [string, Attribute]): Buffer {
  return Buffer.concat([
    bytes(1, name),
    bytes(2, JSON.stringify(type)),
    flag(4, required),
    flag(5, optional),
    flag(6, computed),
    flag(7, SENSITIVE.has(name)),
    flag(10, isWriteOnly(name)),
  ]);
}

const NESTING = { single: 1, list: 2, set: 3 } as const;

function nested([name, { nesting, min, max, block }]: [string, NestedBlock]): Buffer {
  return Buffer.concat([
    bytes(1, name),
    bytes(2, blockMessage(block)),
    whole(3, NESTING[nesting]),
    whole(4, min ?? 0),
    whole(5, max ?? 0),
  ]);
}

function blockMessage({ attributes, blocks }: Block): Buffer {
  return Buffer.concat([
    ...Object.entries(attributes).map((entry) => bytes(2, attribute(entry))),
    ...Object.entries(blocks).map((entry) => bytes(3, nested(entry))),
  ]);
}

const schemaMessage = (block: Block): Buffer => bytes(2, blockMessage(block));

function schemaAnswer({ config, resources, dataSources }: ProviderSchema): Buffer {
  const entries = (field: number, types: Record<string, Block>): Buffer[] =>
    Object.entries(types).map(([name, block]) =>
      bytes(field, Buffer.concat([bytes(1, name), bytes(2, schemaMessage(block))])),
    );
  // The last one: Terraform need not ask again.
  return Buffer.concat([
    bytes(1, schemaMessage(config)),
    ...entries(2, resources),
    ...entries(3, dataSources),
    bytes(6, flag(2, true)),
  ]);
}

const GRPC_FRAME_HEAD_BYTES = 5;
const UNIMPLEMENTED = 12;

function answer(stream: ServerHttp2Stream, message: Buffer | null): void {
  stream.on("error", () => undefined);
  const status = message === null ? UNIMPLEMENTED : 0;
  stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
  stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": String(status) }));
  if (message === null) return void stream.end();
  const head = Buffer.alloc(GRPC_FRAME_HEAD_BYTES);
  head.writeUInt32BE(message.length, 1);
  stream.end(Buffer.concat([head, message]));
}

/** Listens on loopback; resolves with the port. `onShutdown`: Terraform has no more use for it. */
export function serveProvider(
  schema: ProviderSchema,
  onShutdown: () => void,
): Promise<{ port: number; close(): void }> {
  const nothing = (): Buffer => Buffer.alloc(0);
  const whatWeKnow = schemaAnswer(schema);
  const calls: Record<string, (request: Buffer) => Buffer> = {
    "/tfplugin5.Provider/GetSchema": () => whatWeKnow,
    // The answer has the configuration where the question has it.
    "/tfplugin5.Provider/PrepareProviderConfig": (request) => request,
    "/tfplugin5.Provider/ValidateResourceTypeConfig": nothing,
    "/tfplugin5.Provider/ValidateDataSourceConfig": nothing,
    "/tfplugin5.Provider/Configure": nothing,
    "/tfplugin5.Provider/Stop": nothing,
    "/plugin.GRPCController/Shutdown": () => (onShutdown(), Buffer.alloc(0)),
  };
  const server = createServer();
  const sessions = new Set<ServerHttp2Session>();
  server.on("session", (session) => {
    sessions.add(session);
    session.on("error", () => undefined);
    session.on("close", () => sessions.delete(session));
  });
  server.on("stream", (stream, headers) => {
    const call = calls[headers[":path"] ?? ""];
    const chunks: Buffer[] = [];
    // The streams that go-plugin opens for output never end; they are not for us.
    if (call === undefined) return answer(stream, null);
    stream.on("data", (chunk: Buffer) => chunks.push(chunk));
    stream.on("end", () => answer(stream, call(Buffer.concat(chunks).subarray(GRPC_FRAME_HEAD_BYTES))));
  });
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () =>
      resolve({
        port: (server.address() as AddressInfo).port,
        close: () => {
          for (const session of sessions) session.destroy();
          server.close();
        },
      }),
    );
  });
}

if (process.argv[1] === import.meta.filename) {
  const schema = JSON.parse(readFileSync(process.argv[2]!, "utf8")) as ProviderSchema;
  const { port } = await serveProvider(schema, () => setTimeout(() => process.exit(0), 20));
  process.stdout.write(`1|5|tcp|127.0.0.1:${port}|grpc|\n`);
}
