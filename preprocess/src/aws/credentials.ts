/** Whose requests they are: keys in the environment, or those that ECS gives a task. Nothing is read from files. */
import { Unreachable } from "../errors.ts";

export interface Credentials {
  accessKeyId: string;
  secretAccessKey: string;
  sessionToken: string | null;
}

/** ECS tells a task its credentials at this address. */
const TASK_HOST = "http://169.254.170.2";
const ASK_MS_MAX = 2_000;
/** New ones are fetched so long before the old ones end. */
const EARLY_MS = 300_000;

let known: { credentials: Credentials; untilMs: number } | null = null;
let asking: Promise<Credentials> | null = null;

/** Errors: Unreachable, which says where credentials are looked for. */
export async function awsCredentials(): Promise<Credentials> {
  const env = process.env;
  if (env.AWS_ACCESS_KEY_ID && env.AWS_SECRET_ACCESS_KEY) {
    return {
      accessKeyId: env.AWS_ACCESS_KEY_ID,
      secretAccessKey: env.AWS_SECRET_ACCESS_KEY,
      sessionToken: env.AWS_SESSION_TOKEN || null,
    };
  }
  if (known !== null && known.untilMs - EARLY_MS > Date.now()) return known.credentials;
  asking ??= askTask().finally(() => (asking = null));
  return asking;
}

async function askTask(): Promise<Credentials> {
  const { AWS_CONTAINER_CREDENTIALS_RELATIVE_URI: path, AWS_CONTAINER_CREDENTIALS_FULL_URI: full } =
    process.env;
  const url = path ? TASK_HOST + path : full;
  if (!url) {
    throw new Unreachable(
      "AWS: found no credentials, expected AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or an ECS task's" +
        ' (on your own machine: eval "$(aws configure export-credentials --format env)")',
    );
  }
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(ASK_MS_MAX) });
    const found = (await response.json()) as Record<string, string>;
    const credentials = {
      accessKeyId: found["AccessKeyId"]!,
      secretAccessKey: found["SecretAccessKey"]!,
      sessionToken: found["Token"] ?? null,
    };
    known = { credentials, untilMs: Date.parse(found["Expiration"] ?? "") || Date.now() + 2 * EARLY_MS };
    return credentials;
  } catch (error) {
    throw new Unreachable(`AWS: the task's credentials: ${(error as Error).message}`);
  }
}

/** Throws Unreachable. */
export function awsRegion(): string {
  const region = process.env.AWS_REGION || process.env.AWS_DEFAULT_REGION;
  if (!region) throw new Unreachable("AWS: AWS_REGION is not set");
  return region;
}
