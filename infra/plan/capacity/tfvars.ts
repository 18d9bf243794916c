/** The variables of terraform/event that a plan decides. Pure. */
import { OURS, PAYOUT_TASK, PERSIST_TASK } from "./facts.ts";
import type { Plan } from "./plan.ts";
import type { Task } from "./sizing.ts";

interface TerraformTask {
  count: number;
  cpu: number;
  memory: number;
}

export interface Tfvars {
  event?: string;
  image_tag?: string;
  zone_count: number;
  balancer: TerraformTask;
  buckets: Record<
    string,
    {
      redis: { node_type: string };
      mysql: { instance_class: string; storage_gb: number };
      grab: TerraformTask;
      persist: TerraformTask;
      payout: TerraformTask;
    }
  >;
}

/** @param names left out, Terraform asks for them. */
export function tfvarsOf(plan: Plan, zones: number, names: { event?: string; imageTag?: string }): Tfvars {
  const { sizes } = plan;
  const bucket = {
    redis: { node_type: sizes.redis.type },
    mysql: { instance_class: sizes.mysql.type, storage_gb: sizes.mysql.storageGb },
    grab: task(sizes.grab),
    persist: task({ count: 1, ...PERSIST_TASK }),
    payout: task({ count: 1, ...PAYOUT_TASK }),
  };
  const ids = Array.from({ length: Math.min(sizes.buckets, OURS.bucketsMax) }, (_, index) => `b${index}`);
  return {
    ...(names.event === undefined ? {} : { event: names.event }),
    ...(names.imageTag === undefined ? {} : { image_tag: names.imageTag }),
    zone_count: zones,
    balancer: task(sizes.balancer),
    buckets: Object.fromEntries(ids.map((id) => [id, bucket])),
  };
}

function task({ count, vcpus, memoryMib }: Task): TerraformTask {
  return { count, cpu: vcpus * 1024, memory: memoryMib };
}
