/**
 * S3 and Cloud Map as far as the cluster uses them, in one small server. It checks signatures, keeps S3's rules for conditional
 * writes, and behaves badly on demand: refuses, is slow, or does the work and loses the answer.
 */
import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Test } from "tap";
import { sign } from "../../src/aws/sign.ts";

const CREDENTIALS = { accessKeyId: "AKIDFAKE", secretAccessKey: "fake-secret-key", sessionToken: null };
const REGION = "ap-southeast-1";

/** What befalls a request: before the work is done, or after it. Null: nothing. */
export type Mishap =
  | "slow-down"
  | "internal-error"
  | "conflict"
  | "lost-before"
  | "lost-after"
  | "error-after"
  | "hang-after"
  | null;

export interface FakeAws {
  url: string;
  objects: Map<string, { body: Buffer; etag: string }>;
  instances: Map<string, { id: string; host: string }[]>;
  /** Asked for every request of S3. */
  mishap: (method: string, key: string) => Mishap;
  requests: number;
}

/** Sets the environment so that all AWS clients of this process talk to it, until the test ends. */
export async function startFakeAws(t: Test): Promise<FakeAws> {
  const fake: FakeAws = {
    url: "",
    objects: new Map(),
    instances: new Map(),
    mishap: () => null,
    requests: 0,
  };
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => handle(fake, request, Buffer.concat(chunks), response));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  fake.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const set = {
    AWS_ACCESS_KEY_ID: CREDENTIALS.accessKeyId,
    AWS_SECRET_ACCESS_KEY: CREDENTIALS.secretAccessKey,
    AWS_REGION: REGION,
    AWS_ENDPOINT_URL_S3: fake.url,
    AWS_ENDPOINT_URL_SERVICEDISCOVERY: fake.url,
  };
  const before = Object.keys(set).map((name) => [name, process.env[name]] as const);
  Object.assign(process.env, set);
  t.teardown(async () => {
    for (const [name, value] of before) {
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  return fake;
}

function handle(fake: FakeAws, request: IncomingMessage, body: Buffer, response: ServerResponse): void {
  fake.requests += 1;
  const url = new URL(request.url!, fake.url);
  const refuse = (status: number, code: string): void => {
    response.writeHead(status, { "content-type": "application/xml" });
    response.end(`<Error><Code>${code}</Code></Error>`);
  };
  if (!isSigned(request, url, body)) return refuse(403, "SignatureDoesNotMatch");
  if (request.headers["x-amz-target"]) return discover(fake, body, response);
  const key = decodeURIComponent(url.pathname).replace(/^\/[^/]+\//, "");
  const mishap = fake.mishap(request.method!, key);
  if (mishap === "slow-down") return refuse(503, "SlowDown");
  if (mishap === "internal-error") return refuse(500, "InternalError");
  if (mishap === "conflict") return refuse(409, "ConditionalRequestConflict");
  if (mishap === "lost-before") return void request.socket.destroy();
  const answer = work(fake, request, url, key, body);
  if (mishap === "lost-after") return void request.socket.destroy();
  if (mishap === "error-after") return refuse(500, "InternalError");
  if (mishap === "hang-after") return;
  response.writeHead(answer.status, answer.headers);
  response.end(answer.body);
}

function isSigned(request: IncomingMessage, url: URL, body: Buffer): boolean {
  const found = request.headers.authorization ?? "";
  const names = /SignedHeaders=([^,]+)/.exec(found)?.[1]?.split(";") ?? [];
  const service = /\/(s3|servicediscovery)\/aws4_request/.exec(found)?.[1] ?? "";
  const time = String(request.headers["x-amz-date"]).replace(
    /(....)(..)(..)T(..)(..)(..)Z/,
    "$1-$2-$3T$4:$5:$6Z",
  );
  const own = ["host", "x-amz-content-sha256", "x-amz-date"];
  const headers = Object.fromEntries(
    names.filter((name) => !own.includes(name)).map((name) => [name, String(request.headers[name])]),
  );
  const parts = {
    method: request.method!,
    url,
    headers,
    body,
    service,
    region: REGION,
    credentials: CREDENTIALS,
  };
  return sign({ ...parts, now: new Date(time) }).authorization === found;
}

interface Answer {
  status: number;
  headers: Record<string, string>;
  body: string | Buffer;
}

function work(fake: FakeAws, request: IncomingMessage, url: URL, key: string, body: Buffer): Answer {
  const error = (status: number, code: string): Answer => ({
    status,
    headers: {},
    body: `<Error><Code>${code}</Code></Error>`,
  });
  const found = fake.objects.get(key);
  if (request.method === "PUT") {
    const { "if-match": match, "if-none-match": none } = request.headers;
    if (none === "*" && found !== undefined) return error(412, "PreconditionFailed");
    if (match !== undefined && found === undefined) return error(404, "NoSuchKey");
    if (match !== undefined && match !== found!.etag) return error(412, "PreconditionFailed");
    // As S3 has it: the same content has the same etag.
    const etag = `"${createHash("md5").update(body).digest("hex")}"`;
    fake.objects.set(key, { body, etag });
    return { status: 200, headers: { etag }, body: "" };
  }
  if (request.method === "DELETE") {
    fake.objects.delete(key);
    return { status: 204, headers: {}, body: "" };
  }
  if (key !== "") {
    return found === undefined
      ? error(404, "NoSuchKey")
      : { status: 200, headers: { etag: found.etag }, body: found.body };
  }
  // Pages of three, so that nobody forgets that there are pages.
  const prefix = url.searchParams.get("prefix") ?? "";
  const after = url.searchParams.get("continuation-token") ?? "";
  const keys = [...fake.objects.keys()].filter((each) => each.startsWith(prefix) && each > after).sort();
  const page = keys.slice(0, 3);
  const more = keys.length > 3 ? `<NextContinuationToken>${page.at(-1)!}</NextContinuationToken>` : "";
  const list = page.map((each) => `<Contents><Key>${each}</Key></Contents>`).join("");
  return { status: 200, headers: {}, body: `<ListBucketResult>${list}${more}</ListBucketResult>` };
}

function discover(fake: FakeAws, body: Buffer, response: ServerResponse): void {
  const { NamespaceName: namespace, ServiceName: service } = JSON.parse(body.toString()) as Record<
    string,
    string
  >;
  const found = fake.instances.get(`${service}.${namespace}`);
  response.writeHead(found ? 200 : 400, { "content-type": "application/x-amz-json-1.1" });
  response.end(
    JSON.stringify(
      found
        ? {
            Instances: found.map(({ id, host }) => ({
              InstanceId: id,
              Attributes: { AWS_INSTANCE_IPV4: host },
            })),
          }
        : { __type: "ServiceNotFound" },
    ),
  );
}
