export { freePort, releasePort, reserve } from "./processes/ports.ts";
export {
  dieWithParent,
  logTail,
  spawnChild,
  type Child,
  type ChildSpec,
  type Exit,
} from "./processes/child.ts";
export { waitUntil } from "./processes/wait.ts";
export { startRedis, type RedisOptions } from "./servers/redis.ts";
export { startMysql, type MysqlOptions } from "./servers/mysql.ts";
export type { Server } from "./servers/server.ts";
export { processesIn, temporaryState } from "./temporary.ts";
export { ensurePackages, missingPackages, type Package, type System } from "./install/packages.ts";
export { Supervisor, type Unit } from "./processes/supervisor.ts";
export { lockDirectory, type Lock } from "./processes/lock.ts";
export { startTestCluster, type TestCluster, type TestClusterOptions } from "./test-cluster.ts";
export { runHongbao, tryHongbao, type Outcome } from "./cluster/hongbao.ts";
