/** AWS Signature Version 4 (docs.aws.amazon.com, "Signing AWS API requests"), for S3 and for JSON APIs. */
import { createHash, createHmac } from "node:crypto";
import type { Credentials } from "./credentials.ts";

export interface SignedParts {
  method: string;
  url: URL;
  /** Lower-case names; what is here is signed. */
  headers: Record<string, string>;
  body: string | Uint8Array;
  service: string;
  region: string;
  credentials: Credentials;
  now?: Date;
}

const sha256 = (data: string | Uint8Array): string => createHash("sha256").update(data).digest("hex");
const hmac = (key: string | Buffer, text: string): Buffer => createHmac("sha256", key).update(text).digest();

/** As the signature wants it: everything but A-Z a-z 0-9 - _ . ~ in percent form. */
export function encodeUri(text: string): string {
  return encodeURIComponent(text).replaceAll(
    /[!'()*]/g,
    (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

/** The headers to send, with the signature among them. The URL's path has to be encoded already. */
export function sign({
  method,
  url,
  headers,
  body,
  service,
  region,
  credentials,
  now = new Date(),
}: SignedParts) {
  const time = now.toISOString().replaceAll(/[-:]|\.\d{3}/g, "");
  const date = time.slice(0, 8);
  const digest = sha256(body);
  const all: Record<string, string> = {
    ...headers,
    host: url.host,
    "x-amz-content-sha256": digest,
    "x-amz-date": time,
    ...(credentials.sessionToken === null ? {} : { "x-amz-security-token": credentials.sessionToken }),
  };
  const names = Object.keys(all).sort();
  const query = [...url.searchParams]
    .map(([name, value]) => `${encodeUri(name)}=${encodeUri(value)}`)
    .sort()
    .join("&");
  const canonical = [
    method,
    url.pathname,
    query,
    ...names.map((name) => `${name}:${all[name]!.trim()}`),
    "",
    names.join(";"),
    digest,
  ].join("\n");
  const scope = `${date}/${region}/${service}/aws4_request`;
  const text = `AWS4-HMAC-SHA256\n${time}\n${scope}\n${sha256(canonical)}`;
  const key = [date, region, service, "aws4_request"].reduce<string | Buffer>(
    hmac,
    `AWS4${credentials.secretAccessKey}`,
  );
  const signature = createHmac("sha256", key).update(text).digest("hex");
  // fetch writes this one itself.
  delete all["host"];
  return {
    ...all,
    authorization: `AWS4-HMAC-SHA256 Credential=${credentials.accessKeyId}/${scope}, SignedHeaders=${names.join(";")}, Signature=${signature}`,
  };
}
