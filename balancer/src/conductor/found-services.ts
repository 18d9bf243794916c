/** Processes that only service discovery knows, looked for again and again: services of buckets, and the HAProxys. */
import { setTimeout as sleep } from "node:timers/promises";
import {
  discoverInstances,
  type BalancerPlace,
  type BucketPlace,
  type DiscoveredServices,
  type ServicePlace,
} from "@hongbao/preprocess";

const LOOK_MS = 1_000;

export class FoundServices {
  readonly #buckets: (BucketPlace & { services: DiscoveredServices })[];
  readonly #balancer: Pick<BalancerPlace, "admin" | "discover">;
  readonly #found = new Map<string, ServicePlace[]>();
  readonly #stopping = new AbortController();
  #loop: Promise<void> = Promise.resolve();

  /** Admin places of the HAProxys; null where the topology names the only one. */
  balancers: readonly string[] | null;

  constructor(buckets: readonly BucketPlace[], balancer: Pick<BalancerPlace, "admin" | "discover">) {
    this.#balancer = balancer;
    this.balancers = balancer.discover === undefined ? null : [];
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
    if (this.#buckets.length === 0 && this.balancers === null) return;
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
    // Where a look fails whoever was found before is still there, or the bucket's other processes are asked.
    await Promise.all([
      ...this.#buckets.map(async ({ id, services }) =>
        findServices(services).then((found) => this.#found.set(id, found), onTrouble),
      ),
      this.#lookForBalancers().catch(onTrouble),
    ]);
    if (JSON.stringify([...this.#found]) !== before) onChange();
  }

  async #lookForBalancers(): Promise<void> {
    const { discover, admin } = this.#balancer;
    if (discover === undefined) return;
    const port = admin.slice(admin.lastIndexOf(":"));
    this.balancers = (await discoverInstances(discover)).map(({ host }) => host + port);
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
