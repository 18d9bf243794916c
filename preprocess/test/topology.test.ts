import { join } from "node:path";
import t from "tap";
import { BadInput, bucketOfSlot, readTopology, Unreachable } from "../src/index.ts";
import { bucketText, temporaryDir, TOPOLOGY, TWO_BUCKETS, writeTopology } from "./fixtures.ts";

t.test("reads a topology, with paths relative to the file", async (t) => {
  const dir = temporaryDir(t);
  const services = "{ discover: hongbao-b1, http: 9000, spop: 9001, admin: 9002 }";
  const buckets = [TWO_BUCKETS[0]!, bucketText(1, "[[512, 600], [601, 1023]]", { services, persist: "" })];
  const topology = readTopology(writeTopology(dir, { control: "s3://bucket/control" }, buckets));
  t.match(topology, {
    path: join(dir, "topology.yaml"),
    slots: 1024,
    pack: join(dir, "pack"),
    control: "s3://bucket/control",
    balancer: { listen: "127.0.0.1:8080", url: "http://127.0.0.1:8080", site: "http://127.0.0.1:8082" },
    controllers: [{ id: "c0" }, { id: "c1" }],
  });
  const [first, second] = topology.buckets;
  t.match(first, {
    id: "b0",
    slots: [[0, 511]],
    redis: { url: "redis://127.0.0.1:6400", tls: false, cluster: false },
    mysql: { url: "mysql://hongbao@127.0.0.1:3300", tls: false },
    services: [{ id: "s0", http: "127.0.0.1:9000", spop: "127.0.0.1:9001", admin: "127.0.0.1:9002" }],
    persist: [{ id: "p0", admin: "127.0.0.1:9003" }],
    payout: [],
  });
  t.same(second?.services, { discover: "hongbao-b1", http: 9000, spop: 9001, admin: 9002 });
  t.same(topology.secrets.token, { file: join(dir, "secrets/token") });
  t.same(topology.secrets.spop, { env: "HONGBAO_TEST_SPOP" });
  t.same(new Set(bucketOfSlot(topology)), new Set([0, 1]));
});

t.test("the balancer's certificate is found beside the file too", async (t) => {
  const dir = temporaryDir(t);
  const balancer = TOPOLOGY.balancer.replace("admin:", "tls: { cert: tls/site.pem }, admin:");
  t.same(readTopology(writeTopology(dir, { balancer })).balancer.tls, { cert: join(dir, "tls/site.pem") });
});

const SECRETS_AND = (lines: string): string => `${TOPOLOGY.secrets}\n${lines}`;

t.test("a wallet and an order system may be named; without them there are none", async (t) => {
  const dir = temporaryDir(t);
  const plain = readTopology(writeTopology(dir, {}));
  t.notOk("wallet" in plain || "orders" in plain);
  const secrets = SECRETS_AND(
    'wallet: { url: "https://wallet.test/v1/", secret: { file: secrets/wallet }, inFlight: 8 }\n' +
      'orders: { url: "http://127.0.0.1:9/orders", secret: { env: ORDERS } }',
  );
  const topology = readTopology(writeTopology(dir, { secrets }));
  t.same(topology.wallet, {
    url: "https://wallet.test/v1",
    secret: { file: join(dir, "secrets/wallet") },
    timeoutMs: 3000,
    inFlight: 8,
  });
  t.match(topology.orders, { secret: { env: "ORDERS" }, inFlight: 32 });
});

interface Refusal {
  what: string;
  parts?: Partial<typeof TOPOLOGY>;
  buckets?: string[];
  message: RegExp;
}

const REFUSALS: Refusal[] = [
  {
    what: "a wallet without a secret",
    parts: { secrets: SECRETS_AND("wallet: { url: https://wallet.test }") },
    message: /wallet\.secret: .*expected \{ env: NAME \} or \{ file: PATH \}/,
  },
  {
    what: "a wallet with its password in the URL",
    parts: { secrets: SECRETS_AND("wallet: { url: 'https://me:hush@wallet.test', secret: { env: W } }") },
    message: /wallet\.url: .*a password in it/,
  },
  {
    what: "a wallet that is signed for with another secret",
    parts: { secrets: SECRETS_AND("wallet: { url: https://wallet.test, secret: { file: secrets/token } }") },
    message:
      /wallet\.secret: found file .*secrets\/token again \(also secrets\.token\), expected a secret of its own/,
  },
  {
    what: "a wallet that may take for ever",
    parts: {
      secrets: SECRETS_AND("wallet: { url: https://wallet.test, secret: { env: W }, timeoutMs: 9999999 }"),
    },
    message: /wallet\.timeoutMs: found 9999999/,
  },
  {
    what: "overlapping slots",
    buckets: [bucketText(0, "[[0, 511]]"), bucketText(1, "[[500, 1023]]")],
    message:
      /topology\.yaml:15: buckets\[1\]\.slots\[0\]: found slot 500 in bucket b1, expected it once: bucket b0 has it/,
  },
  {
    what: "overlapping runs of one bucket",
    buckets: [bucketText(0, "[[0, 511], [511, 1023]]")],
    message: /buckets\[0\]\.slots\[1\]: found slot 511 in bucket b0/,
  },
  {
    what: "slots that nobody has",
    buckets: [bucketText(0, "[[0, 510]]"), bucketText(1, "[[512, 1023]]")],
    message: /buckets: found 1 slots in no bucket \(first: 511\), expected every slot 0 to 1023 once/,
  },
  {
    what: "a slot beyond the last",
    buckets: [bucketText(0, "[[0, 1024]]")],
    message: /slots\[0\]\[1\]: found 1024, expected a whole number from 0 to 1023/,
  },
  {
    what: "a run that goes back",
    buckets: [bucketText(0, "[[511, 0]]")],
    message: /slots\[0\]: found \[511,0\], expected \[first, last\]/,
  },
  {
    what: "another number of slots",
    parts: { slots: "512" },
    message: /:1: slots: found 512, expected 1024/,
  },
  {
    what: "a bucket id twice",
    buckets: [TWO_BUCKETS[0]!, bucketText(1, "[[512, 1023]]", { id: "b0" })],
    message: /topology\.yaml:14: buckets\[1\]\.id: found "b0" again \(also buckets\[0\]\), expected a new id/,
  },
  {
    what: "a controller id twice",
    parts: { controllers: '[{ id: c0, admin: "h:1" }, { id: c0, admin: "h:2" }]' },
    message: /controllers\[1\]\.id: found "c0" again/,
  },
  {
    what: "an id in capitals",
    buckets: [bucketText(0, "[[0, 1023]]", { id: "B0" })],
    message: /buckets\[0\]\.id: found "B0", expected an id/,
  },
  {
    what: "an address twice",
    parts: { controllers: '[{ id: c0, admin: "127.0.0.1:8080" }]' },
    message:
      /controllers\[0\]\.admin: found 127\.0\.0\.1:8080 again \(also balancer\.listen\), expected an address of its own/,
  },
  {
    what: "an address without port",
    parts: { controllers: "[{ id: c0, admin: localhost }]" },
    message: /admin: found "localhost", expected host:port/,
  },
  {
    what: "a port of 70000",
    parts: { controllers: '[{ id: c0, admin: "h:70000" }]' },
    message: /admin: found "h:70000", expected host:port/,
  },
  {
    what: "a missing server",
    buckets: [bucketText(0, "[[0, 1023]]", { redis: "" })],
    message: /topology\.yaml:8: buckets\[0\]\.redis: is missing, expected \{ url: redis/,
  },
  {
    what: "a service without a door",
    buckets: [bucketText(0, "[[0, 1023]]", { services: '[{ id: s0, http: "h:1" }]' })],
    message: /buckets\[0\]\.services/,
  },
  {
    what: "another protocol",
    buckets: [bucketText(0, "[[0, 1023]]", { redis: '{ url: "http://h:1" }' })],
    message: /redis\.url: found "http:\/\/h:1", expected redis:\/\/host:port/,
  },
  {
    what: "no controllers",
    parts: { controllers: "[]" },
    message: /controllers: found \[\], expected a list of 1/,
  },
  {
    what: "an unknown field",
    parts: { slots: "1024\nshards: 2" },
    message: /:2: shards: found an unknown field/,
  },
  {
    what: "a missing secret",
    parts: { secrets: TOPOLOGY.secrets.replace("redis: { file: secrets/redis }, ", "") },
    message: /secrets\.redis: is missing, expected \{ env: NAME \} or \{ file: PATH \}/,
  },
  {
    what: "the same secret twice",
    parts: { secrets: TOPOLOGY.secrets.replace("secrets/redis", "secrets/mysql") },
    message:
      /secrets\.mysql: found file .*secrets\/mysql again \(also secrets\.redis\), expected six different secrets/,
  },
];

for (const { what, parts, buckets, message } of REFUSALS) {
  t.test(`refuses ${what}`, async (t) => {
    const path = writeTopology(temporaryDir(t), parts, buckets);
    t.throws(() => readTopology(path), { message, exitCode: 2 });
    t.throws(() => readTopology(path), BadInput);
  });
}

t.test("a password in a URL is refused and does not come back in the message", async (t) => {
  const dir = temporaryDir(t);
  const redis = '{ url: "redis://:hunter2hunter2@127.0.0.1:6400" }';
  const path = writeTopology(dir, {}, [bucketText(0, "[[0, 1023]]", { redis })]);
  t.throws(() => readTopology(path), { message: /redis\.url: .*has a password in it/ });
  try {
    readTopology(path);
  } catch (error) {
    t.notMatch(String(error), /hunter2/);
  }
});

t.test("a topology that is not there is not reachable", async (t) => {
  t.throws(() => readTopology(join(temporaryDir(t), "none.yaml")), Unreachable);
});
