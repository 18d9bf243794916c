/**
 * The little of S3 that the cluster uses: get, put on a condition, list. One request a call; who calls decides what is asked
 * again. By hand and not by the SDK, which is a hundred packages for three requests (docs/decisions/0023).
 */
import { Unreachable } from "../errors.ts";
import { awsCredentials, awsRegion } from "./credentials.ts";
import { encodeUri, sign } from "./sign.ts";

export interface S3Place {
  bucket: string;
  /** Without slashes at its ends; may be empty. */
  prefix: string;
}

export interface S3Answer {
  status: number;
  etag: string;
  body: Buffer;
  /** S3's error code, or an empty text. */
  code: string;
}

export interface S3Ask {
  method: "GET" | "PUT" | "DELETE";
  /** Empty: the bucket itself. */
  key: string;
  query?: Record<string, string>;
  headers?: Record<string, string>;
  body?: string | Uint8Array;
  timeoutMs: number;
}

/** `s3://bucket/prefix`, as a topology names it. */
export function s3Place(url: string): S3Place {
  const { hostname, pathname } = new URL(url);
  return { bucket: hostname, prefix: pathname.replace(/^\/+|\/+$/g, "") };
}

export const keyUnder = ({ prefix }: S3Place, name: string): string =>
  prefix === "" ? name : `${prefix}/${name}`;

/** One request. Errors: Unreachable, when no whole answer came; the request may have been carried out. */
export async function askS3(
  bucket: string,
  { method, key, query = {}, headers = {}, body = "", timeoutMs }: S3Ask,
): Promise<S3Answer> {
  const region = awsRegion();
  const endpoint = process.env.AWS_ENDPOINT_URL_S3;
  const path = key.split("/").map(encodeUri).join("/");
  const url = new URL(
    endpoint ? `${endpoint}/${bucket}/${path}` : `https://${bucket}.s3.${region}.amazonaws.com/${path}`,
  );
  for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
  const credentials = await awsCredentials();
  const signed = sign({ method, url, headers, body, service: "s3", region, credentials });
  try {
    const response = await fetch(url, {
      method,
      headers: signed,
      ...(method === "PUT" ? { body: Buffer.from(body) } : {}),
      signal: AbortSignal.timeout(timeoutMs),
    });
    const answer = Buffer.from(await response.arrayBuffer());
    return {
      status: response.status,
      etag: response.headers.get("etag") ?? "",
      body: answer,
      code: response.ok ? "" : (/<Code>(\w+)<\/Code>/.exec(answer.toString())?.[1] ?? ""),
    };
  } catch (error) {
    const cause = (error as { cause?: { code?: string } }).cause?.code;
    throw new Unreachable(`s3://${bucket}/${key}: ${cause ?? (error as Error).message}`, { cause: error });
  }
}

/** What an answer says that is none of those expected. */
export function s3Trouble(bucket: string, key: string, { status, code }: S3Answer): Unreachable {
  return new Unreachable(`s3://${bucket}/${key}: found the answer ${status} ${code}`);
}

export interface Policy {
  tries: number;
  timeoutMs: number;
  /** The pause after the first try; it doubles, with jitter. */
  pauseMs: number;
}

/** Asks again, bounded, while no answer comes or S3 says that it is not its day. Errors: Unreachable. */
export async function persistently(
  bucket: string,
  ask: Omit<S3Ask, "timeoutMs">,
  policy: Policy,
): Promise<S3Answer> {
  let failure: Unreachable | null = null;
  for (let tries = 0; tries < policy.tries; tries += 1) {
    if (tries > 0) await pause(policy, tries);
    try {
      const answer = await askS3(bucket, { ...ask, timeoutMs: policy.timeoutMs });
      if (answer.status < 500 && answer.status !== 429) return answer;
      failure = s3Trouble(bucket, ask.key, answer);
    } catch (error) {
      if (!(error instanceof Unreachable)) throw error;
      failure = error;
    }
  }
  throw failure!;
}

export function pause({ pauseMs }: Policy, tries: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, pauseMs * 2 ** (tries - 1) * (0.5 + Math.random())));
}

/** Keys under a prefix, in the order of their code units. Errors: Unreachable. */
export async function listS3(bucket: string, prefix: string, policy: Policy): Promise<string[]> {
  const keys: string[] = [];
  for (let token = ""; ;) {
    const query = { "list-type": "2", prefix, ...(token === "" ? {} : { "continuation-token": token }) };
    const answer = await persistently(bucket, { method: "GET", key: "", query }, policy);
    if (answer.status !== 200) throw s3Trouble(bucket, prefix, answer);
    const text = answer.body.toString();
    for (const [, key] of text.matchAll(/<Key>([^<]*)<\/Key>/g)) keys.push(plain(key!));
    token = plain(/<NextContinuationToken>([^<]*)<\/NextContinuationToken>/.exec(text)?.[1] ?? "");
    if (token === "") return keys.sort();
  }
}

const ENTITIES: Record<string, string> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'" };
const plain = (xml: string): string =>
  xml.replaceAll(/&(\w+);/g, (all, name: string) => ENTITIES[name] ?? all);
