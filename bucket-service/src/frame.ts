/** What every process of a bucket is made of, whatever its role. */
import { createLogger, createRegistry, type Registry } from "@hongbao/monitoring";
import {
  BadInput,
  LiveSwitches,
  openPack,
  readSecrets,
  type BucketPlace,
  type Pack,
  type SecretName,
  type Secrets,
  type Topology,
} from "@hongbao/preprocess";
import { switchMetrics } from "./metrics.ts";
import { SwitchKeeper, switchesPath } from "./switches/keeper.ts";

export type Role = "grab" | "persist" | "payout";
/** What each role knows: the one that talks to wallets outside need not be able to sign a user's token. */
const SECRETS_OF: Record<Role, readonly SecretName[]> = {
  grab: ["token", "receipt", "operator", "spop", "redis", "mysql"],
  persist: ["receipt", "operator", "redis", "mysql"],
  payout: ["operator", "mysql"],
};

type Logger = ReturnType<typeof createLogger>;

/** What every role of a bucket process needs, made once. */
export interface Frame {
  topology: Topology;
  bucket: BucketPlace;
  /** Those that the role needs; the others are empty. */
  secrets: Secrets;
  pack: Pack;
  id: string;
  logger: Logger;
  registry: Registry;
  /** What operators have set; read `current` where it counts. */
  switches: LiveSwitches;
  /** Takes and keeps them. */
  switchKeeper: SwitchKeeper;
}

/** Opens what a bucket process of this topology needs. Errors: BadInput, Unreachable. */
export function openFrame(topology: Topology, bucketId: string, role: Role, id: string): Frame {
  const bucket = topology.buckets.find((candidate) => candidate.id === bucketId);
  if (bucket === undefined) {
    const known = topology.buckets.map((candidate) => candidate.id).join(", ");
    throw new BadInput(`--bucket: found ${bucketId}, expected one of ${known} (${topology.path})`);
  }
  const registry = createRegistry({ labels: { role, id, bucket: bucketId } });
  const logger = createLogger({ role, id, bucket: bucketId }, { registry });
  const pack = openPack(topology.pack, { verify: true });
  const switches = new LiveSwitches(bucketId);
  const switchKeeper = new SwitchKeeper({
    live: switches,
    path: switchesPath(topology.path, bucketId, id),
    event: pack.manifest.event.id,
    packDigest: pack.digest,
    onTrouble: (error) => logger.warn({ err: error }, "the copy of the switches is of no use"),
  });
  switchMetrics(registry, switches);
  return {
    topology,
    bucket,
    secrets: {
      ...{ token: [], receipt: [], operator: "", spop: [], redis: "", mysql: "" },
      ...readSecrets(topology, SECRETS_OF[role]),
    },
    pack,
    id,
    logger,
    registry,
    switches,
    switchKeeper,
  };
}
