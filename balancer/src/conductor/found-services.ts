/** The services of buckets whose services only service discovery knows, looked for again and again. */
import { setTimeout as sleep } from "node:timers/promises";
import {
  discoverInstances,
  type BucketPlace,
  type DiscoveredServices,
  type ServicePlace,
} from "@hongbao/preprocess";

const LOOK_MS = 1_000;

export class FoundServices {
  readonly #buckets: (BucketPlace & { services: DiscoveredServices })[];
  readonly #found = new Map<string, ServicePlace[]>();
  readonly #stopping = new AbortController();
  #loop: Promise<void> = Promise.resolve();

  constructor(buckets: readonly BucketPlace[]) {
    this.#buckets = buckets.flatMap((bucket) =>
      Array.isArray(bucket.services) ? [] : [{ ...bucket, services: bucket.services }],
    );
  }

  /** A bucket's services: those that the topology names, or those that were found last. */
  of({ id, services }: BucketPlace): ServicePlace[] {
    return Array.isArray(services) ? services : (this.#found.get(id) ?? []);
  }

  /** Looks once, then again and again until stop(); `onChange` when services came or went. */
  async start(onChange: () => void, onTrouble: (error: unknown) => void): Promise<void> {
    if (this.#buckets.length === 0) return;
    await this.#look(onChange, onTrouble);
    this.#loop = (async () => {
      const { signal } = this.#stopping;
      while (!signal.aborted) {
        await sleep(LOOK_MS, undefined, { signal }).catch(() => undefined);
        if (!signal.aborted) await this.#look(onChange, onTrouble);
      }
    })();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#loop;
  }

  async #look(onChange: () => void, onTrouble: (error: unknown) => void): Promise<void> {
    const before = JSON.stringify([...this.#found]);
    await Promise.all(
      this.#buckets.map(async ({ id, services }) => {
        try {
          this.#found.set(id, await findServices(services));
        } catch (error) {
          // Whoever was found before is still there, or its bucket's other processes are asked.
          onTrouble(error);
        }
      }),
    );
    if (JSON.stringify([...this.#found]) !== before) onChange();
  }
}

/** Errors: Unreachable. */
export async function findServices({
  discover,
  http,
  spop,
  admin,
}: DiscoveredServices): Promise<ServicePlace[]> {
  const instances = await discoverInstances(discover);
  return instances.map(({ id, host }) => ({
    id: id.slice(0, 32),
    http: `${host}:${http}`,
    spop: `${host}:${spop}`,
    admin: `${host}:${admin}`,
  }));
}
