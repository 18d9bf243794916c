/** Orders to a bucket: whichever of its processes answers carries it out. */
import { rebuildClient, type RebuildClient } from "@hongbao/bucket-service";
import { BadInput, readSecrets, Unreachable, type BucketPlace, type Topology } from "@hongbao/preprocess";

/** A release or a preview of a large bucket reads millions of rows. */
const ORDER_MS_MAX = 120_000;

export interface BucketProcess {
  id: string;
  client: RebuildClient;
}

/** The processes of a bucket, services first. Throws BadInput for an unknown bucket. */
export function processesOf(topology: Topology, bucketId: string): BucketProcess[] {
  const bucket = topology.buckets.find(({ id }) => id === bucketId);
  if (bucket === undefined) {
    const known = topology.buckets.map(({ id }) => id).join(", ");
    throw new BadInput(`--bucket: found "${bucketId}", expected one of ${known} (${topology.path})`);
  }
  const { operator } = readSecrets(topology, ["operator"]);
  return placesOf(bucket).map(({ id, admin }) => ({
    id,
    client: rebuildClient({ admin, operatorSecret: operator, timeoutMs: ORDER_MS_MAX }),
  }));
}

function placesOf({ id, services, persist }: BucketPlace): { id: string; admin: string }[] {
  if (Array.isArray(services)) return [...services, ...persist];
  throw new BadInput(
    `topology: bucket ${id}: found services by discovery ("${services.discover}"), expected a list: commands cannot ask a registry yet`,
  );
}

/** Asks one process after the other until one answers. Throws Unreachable with everyone's words when none does. */
export async function askAny<T>(
  processes: readonly BucketProcess[],
  ask: (client: RebuildClient) => Promise<T>,
): Promise<{ process: BucketProcess; answer: T }> {
  const failures: string[] = [];
  for (const process of processes) {
    try {
      return { process, answer: await ask(process.client) };
    } catch (error) {
      if (!(error instanceof Unreachable)) throw error;
      failures.push(`${process.id}: ${error.message}`);
    }
  }
  throw new Unreachable(failures.join("; ") || "the bucket has no processes");
}
