import { Cluster, Redis, type ClusterOptions } from "ioredis";
import type { BucketPlace } from "@hongbao/preprocess";

/** Either client: the scripts that we call have all keys of a bucket under one hash tag. */
export type RedisClient = Redis | Cluster;

/** How long we wait, and how often we try; the defaults of ioredis would lose money (docs/decisions/0003). */
export const redisPolicy = {
  connectTimeoutMs: 1000,
  commandTimeoutMs: 1000,
  reconnectDelayMs: (attempt: number): number => Math.min(50 * attempt, 500),
} as const;

/**
 * Connects to the Redis of one bucket. The client never re-sends by itself, never queues while it is offline, and gives
 * every command an end; whoever called asks again, which is safe because every script is idempotent.
 *
 * @param blocking true for a connection that waits in XREADGROUP BLOCK: it has no command time-out.
 */
export function connectRedis(
  bucket: BucketPlace,
  password: string,
  { name, blocking = false }: { name: string; blocking?: boolean },
): RedisClient {
  const url = new URL(bucket.redis.url);
  const host = url.hostname;
  const port = Number(url.port === "" ? 6379 : url.port);
  const options = {
    ...(password === "" ? {} : { password }),
    ...(bucket.redis.tls ? { tls: { servername: url.hostname } } : {}),
    connectionName: name,
    // RESP2: every server speaks it, and streams come as nested lists in raw calls too.
    protocol: 2 as const,
    lazyConnect: true,
    autoResendUnfulfilledCommands: false,
    autoResubscribe: false,
    enableReadyCheck: true,
    maxRetriesPerRequest: 0,
    connectTimeout: redisPolicy.connectTimeoutMs,
    ...(blocking ? {} : { commandTimeout: redisPolicy.commandTimeoutMs }),
    keepAlive: 10_000,
    noDelay: true,
  };
  const client = bucket.redis.cluster
    ? new Cluster([{ host, port }], { ...clusterOptions, redisOptions: options })
    : new Redis({
        ...options,
        host,
        port,
        enableOfflineQueue: false,
        retryStrategy: redisPolicy.reconnectDelayMs,
      });
  // Without a listener Node would end the process; whoever calls sees each command's own error.
  client.on("error", () => undefined);
  return client;
}

/** Tells of every connection to a server that ends, and of every one that can be used. */
export function watchConnections(client: RedisClient, on: { closed: () => void; ready: () => void }): void {
  client.on("close", on.closed);
  client.on("ready", on.ready);
  if (!(client instanceof Cluster)) return;
  client.on("+node", (node: Redis) => {
    node.on("close", on.closed);
    node.on("ready", on.ready);
  });
}

/** What a cluster client needs beyond the options of each connection. */
const clusterOptions = {
  lazyConnect: true,
  enableOfflineQueue: false,
  enableReadyCheck: true,
  clusterRetryStrategy: redisPolicy.reconnectDelayMs,
  retryDelayOnFailover: 100,
  slotsRefreshTimeout: redisPolicy.connectTimeoutMs,
  // A managed server's certificate names its DNS name, so the client must not look addresses up by itself.
  dnsLookup: (address, callback) => callback(null, address),
} satisfies ClusterOptions;
