/** AWS Cloud Map: which tasks of a service there are. By the API, because DNS names eight of them at most. */
import { Unreachable } from "../errors.ts";
import { awsCredentials, awsRegion } from "./credentials.ts";
import { sign } from "./sign.ts";

export interface Instance {
  /** ECS gives a task's own id. */
  id: string;
  host: string;
}

const ASK_MS_MAX = 2_000;
const INSTANCES_MAX = 1_000;

/**
 * The instances of `SERVICE.NAMESPACE`, sorted by id. All of them, whatever a health check says: HAProxy and the conductor check
 * by themselves. Errors: Unreachable.
 */
export async function discoverInstances(name: string): Promise<Instance[]> {
  const dot = name.indexOf(".");
  const [service, namespace] = dot < 0 ? [name, ""] : [name.slice(0, dot), name.slice(dot + 1)];
  const region = awsRegion();
  const endpoint = process.env.AWS_ENDPOINT_URL_SERVICEDISCOVERY;
  const url = new URL(endpoint ?? `https://data-servicediscovery.${region}.amazonaws.com/`);
  const body = JSON.stringify({
    NamespaceName: namespace,
    ServiceName: service,
    MaxResults: INSTANCES_MAX,
    HealthStatus: "ALL",
  });
  const headers = sign({
    method: "POST",
    url,
    headers: {
      "content-type": "application/x-amz-json-1.1",
      "x-amz-target": "Route53AutoNaming_v20170314.DiscoverInstances",
    },
    body,
    service: "servicediscovery",
    region,
    credentials: await awsCredentials(),
  });
  let text: string;
  try {
    const response = await fetch(url, {
      method: "POST",
      headers,
      body,
      signal: AbortSignal.timeout(ASK_MS_MAX),
    });
    text = await response.text();
    if (!response.ok) throw new Error(`${response.status} ${text.slice(0, 200)}`);
  } catch (error) {
    throw new Unreachable(`service discovery of ${name}: ${(error as Error).message}`, { cause: error });
  }
  const { Instances: found } = JSON.parse(text) as {
    Instances?: { InstanceId: string; Attributes?: Record<string, string> }[];
  };
  return (found ?? [])
    .flatMap(({ InstanceId: id, Attributes: attributes }) => {
      const host = attributes?.["AWS_INSTANCE_IPV4"];
      return host === undefined ? [] : [{ id, host }];
    })
    .sort((a, b) => (a.id < b.id ? -1 : 1));
}
