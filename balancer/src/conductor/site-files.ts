/**
 * The page's folder made ready to be served, by a controller or by any CDN: every asset's name carries the digest of
 * its content, so it may be kept for ever, and whoever has the HTML has the assets that belong to it.
 */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { extname, join } from "node:path";
import { gzipSync } from "node:zlib";
import { BadInput } from "@hongbao/preprocess";

export interface SiteFile {
  /** `/` for the HTML, `/assets/NAME.DIGEST.EXT` for all else. */
  url: string;
  type: string;
  body: Buffer;
  /** Null where it would not be smaller: pictures and videos. */
  gzip: Buffer | null;
  etag: string;
  caching: string;
}

export interface SiteFiles {
  files: Map<string, SiteFile>;
  /** What every answer of the page and its assets carries, whoever gives it. */
  headers: Record<string, string>;
}

export const SITE_FOLDER = join(import.meta.dirname, "..", "..", "site");

const PAGE = "index.html";
const FOR_EVER = "public, max-age=31536000, immutable";
/** Browsers ask each time, so that a new page counts at once; an edge keeps the crowd away from the origin. */
const ASK_AGAIN = "public, max-age=0, s-maxage=30, must-revalidate";
const DIGEST_LENGTH = 10;

const TEXT_TYPES: Record<string, string> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml",
};
const TYPES: Record<string, string> = {
  ...TEXT_TYPES,
  ".png": "image/png",
  ".jpg": "image/jpeg",
  ".webp": "image/webp",
  ".woff2": "font/woff2",
  ".mp4": "video/mp4",
};

/** How one file names another: in the HTML, in a module, in a style sheet. The name is the second group. */
const REFERENCES: Record<string, RegExp> = {
  ".html": /((?:href|src)="\/assets\/)([^"]+)(?=")/g,
  ".js": /(\b(?:from|import) "\.\/|\bimport\("\.\/)([^"]+)(?=")/g,
  ".css": /(url\("\.\/)([^"]+)(?="\))/g,
};
/** Where the HTML keeps the API's origin. */
const API_META = /(<meta name="hongbao-api" content=")(?=")/;

/** Strict: the page has nothing inline, and talks to its own origin and to the API's. */
function headersOf(api: string): Record<string, string> {
  return {
    "content-security-policy": [
      "default-src 'none'",
      "script-src 'self'",
      "style-src 'self'",
      "img-src 'self' data:",
      "media-src 'self'",
      "font-src 'self'",
      `connect-src ${["'self'", api].filter(Boolean).join(" ")}`,
      "base-uri 'none'",
      "form-action 'none'",
      "frame-ancestors 'none'",
    ].join("; "),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
  };
}

/** An origin alone, or "" for the page's own. Throws BadInput. */
function readOrigin(api: string): string {
  if (api === "") return "";
  const url = URL.canParse(api) ? new URL(api) : null;
  if (url === null || !/^https?:$/.test(url.protocol) || url.href !== `${url.origin}/`) {
    throw new BadInput(`--api: found "${api}", expected an origin such as https://api.example.com`);
  }
  return url.origin;
}

/**
 * Reads a folder with its `index.html`. `api` is the API's origin when that is not the page's own. Throws BadInput when
 * a file names one that is not there.
 */
export function buildSite(folder: string = SITE_FOLDER, api = ""): SiteFiles {
  const origin = readOrigin(api);
  const sources = readSources(folder);
  const built = new Map<string, SiteFile>();
  const underWay: string[] = [];

  const build = (name: string, namedBy: string): SiteFile => {
    const known = built.get(name);
    if (known !== undefined) return known;
    const source = sources.get(name);
    if (source === undefined) throw new BadInput(`site: ${namedBy} names ${name}, which is not in ${folder}`);
    if (underWay.includes(name)) throw new BadInput(`site: ${[...underWay, name].join(" → ")} is a circle`);
    underWay.push(name);
    const body = withDigests(name, source, (other) => build(other, name).url.slice("/assets/".length));
    underWay.pop();
    const file = fileOf(name, name === PAGE ? withApi(body, origin) : body);
    built.set(name, file);
    return file;
  };

  for (const name of [PAGE, ...sources.keys()]) build(name, "the site");
  return {
    files: new Map(Array.from(built.values(), (file) => [file.url, file])),
    headers: headersOf(origin),
  };
}

/** By their names under the folder; files of no known type are not part of the site. */
function readSources(folder: string): Map<string, Buffer> {
  const sources = new Map<string, Buffer>();
  for (const entry of readdirSync(folder, { withFileTypes: true, recursive: true })) {
    if (!entry.isFile() || TYPES[extname(entry.name)] === undefined) continue;
    const path = join(entry.parentPath, entry.name);
    sources.set(path.slice(folder.length).replace(/^\/+/, ""), readFileSync(path));
  }
  return sources;
}

function withDigests(name: string, source: Buffer, urlNameOf: (other: string) => string): Buffer {
  const references = REFERENCES[extname(name)];
  if (references === undefined) return source;
  const text = source.toString("utf8");
  return Buffer.from(
    text.replace(references, (_whole, before: string, other: string) => before + urlNameOf(other)),
  );
}

function withApi(body: Buffer, origin: string): Buffer {
  return Buffer.from(body.toString("utf8").replace(API_META, `$1${origin}`));
}

function fileOf(name: string, body: Buffer): SiteFile {
  const extension = extname(name);
  const digest = createHash("sha256").update(body).digest("hex").slice(0, DIGEST_LENGTH);
  const isPage = name === PAGE;
  return {
    url: isPage ? "/" : `/assets/${name.slice(0, -extension.length)}.${digest}${extension}`,
    type: TYPES[extension]!,
    body,
    gzip: TEXT_TYPES[extension] === undefined ? null : gzipSync(body, { level: 9 }),
    etag: `W/"${digest}"`,
    caching: isPage ? ASK_AGAIN : FOR_EVER,
  };
}
