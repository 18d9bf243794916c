/** The price table: dated, and anybody's to edit (`--prices FILE`). */
import { BadInput } from "@hongbao/preprocess";
import { readJson } from "./figures.ts";

export interface RedisNode {
  type: string;
  memoryGib: number;
  perHour: number;
}

export interface MysqlClass {
  type: string;
  vcpus: number;
  memoryGib: number;
  /** In two zones. */
  perHour: number;
}

export interface Prices {
  date: string;
  region: string;
  currency: string;
  source: string;
  perHour: Record<
    "fargateVcpu" | "fargateGb" | "loadBalancer" | "loadBalancerUnit" | "natGateway" | "endpointInZone",
    number
  >;
  perGb: Record<"cdn" | "out", number>;
  perMillion: Record<"cdnRequests" | "discoveries", number>;
  perGbMonth: Record<"mysqlStorageTwoZones", number>;
  redisNodes: RedisNode[];
  mysqlClasses: MysqlClass[];
}

const NUMBERS = {
  perHour: ["fargateVcpu", "fargateGb", "loadBalancer", "loadBalancerUnit", "natGateway", "endpointInZone"],
  perGb: ["cdn", "out"],
  perMillion: ["cdnRequests", "discoveries"],
  perGbMonth: ["mysqlStorageTwoZones"],
} as const;
/** terraform/modules/bucket: what synchronous durability runs on. */
const DURABLE = /^cache\.(r6g|r7g|m6g|m7g|c7gn)\./;

/** Throws BadInput that names the option, the file and the field. */
export function readPrices(path: string): Prices {
  const file = readJson("--prices", path) as Record<string, unknown>;
  const wrong = (field: string, found: unknown, expected: string): never => {
    throw new BadInput(`--prices ${path}: ${field}: found ${JSON.stringify(found)}, expected ${expected}`);
  };
  const date = file["date"];
  if (typeof date !== "string" || !/^\d{4}-\d{2}-\d{2}$/.test(date))
    wrong("date", date, "the day that the prices are of, YYYY-MM-DD");
  for (const field of ["region", "currency", "source"])
    if (typeof file[field] !== "string") wrong(field, file[field], "a text");
  for (const [group, names] of Object.entries(NUMBERS)) {
    const found = (file[group] ?? {}) as Record<string, unknown>;
    for (const name of names)
      if (!isPrice(found[name])) wrong(`${group}.${name}`, found[name], "a price from 0");
  }
  const lists = { redisNodes: ["memoryGib", "perHour"], mysqlClasses: ["vcpus", "memoryGib", "perHour"] };
  for (const [list, fields] of Object.entries(lists)) {
    const found = file[list];
    if (!Array.isArray(found) || found.length === 0) wrong(list, found, "at least one");
    for (const [index, each] of (found as Record<string, unknown>[]).entries()) {
      const type = each?.["type"];
      if (typeof type !== "string") wrong(`${list}[${index}].type`, type, "the name of an instance class");
      if (list === "redisNodes" && !DURABLE.test(type as string))
        wrong(
          `${list}[${index}].type`,
          type,
          "a cache.r6g, r7g, m6g, m7g or c7gn node: others are not durable",
        );
      for (const field of fields)
        if (!isPrice(each[field]) || each[field] === 0)
          wrong(`${list}[${index}].${field}`, each[field], "a number above 0");
    }
  }
  return file as unknown as Prices;
}

function isPrice(value: unknown): value is number {
  return typeof value === "number" && Number.isFinite(value) && value >= 0;
}
