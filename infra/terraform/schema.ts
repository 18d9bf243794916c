/**
 * Makes terraform/schema/aws.json: the schema of those resources and data sources that our Terraform uses, out of the published
 * bindings of the AWS provider. Run it by hand after using a new resource or a new version:
 *
 *     node infra/terraform/schema.ts && npx prettier --ignore-path /dev/null --write terraform/schema/aws.json
 *
 * The package is 46 MB (476 MB unpacked), so it is no dependency: it is fetched here once, checked against its digest, and
 * read without being unpacked. What comes out is small and stands in the repository.
 */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readBindings, type Block } from "./bindings.ts";

/** 25.7.0 carries provider 6.66.0. Without the version npm gives an old one to an older Node. */
export const PACKAGE = {
  name: "@cdktn/provider-aws",
  version: "25.7.0",
  provider: "6.66.0",
  integrity:
    "sha512-E/nhu0yVZE4mXMgIPuI8tEFt1BExLkA7ARjihdG+/HmfDfzLr+OEF3dkFRvI6glRt30lrrBWQLwXqCJBxcmyUg==",
} as const;

export interface ProviderSchema {
  madeFrom: string;
  provider: string;
  config: Block;
  resources: Record<string, Block>;
  dataSources: Record<string, Block>;
}

const TERRAFORM = join(import.meta.dirname, "..", "..", "terraform");
export const SCHEMA_FILE = join(TERRAFORM, "schema", "aws.json");

/** What our .tf files use, sorted. */
export function usedTypes(folder = TERRAFORM): { resources: string[]; dataSources: string[] } {
  const text = globSync("**/*.tf", { cwd: folder, exclude: (name) => name === ".terraform" })
    .map((path) => readFileSync(join(folder, path), "utf8"))
    .join("\n");
  const used = (word: string): string[] =>
    [
      ...new Set(Array.from(text.matchAll(new RegExp(`^${word} "(aws_\\w+)"`, "gm")), ([, type]) => type!)),
    ].sort();
  return { resources: used("resource"), dataSources: used("data") };
}

/** The folder of a type in the package: aws_ecs_service → ecs-service. */
const folderOf = (type: string): string => type.replace(/^aws_/, "").replaceAll("_", "-");

export function makeSchema(tarball: string): ProviderSchema {
  const digest = `sha512-${createHash("sha512").update(readFileSync(tarball)).digest("base64")}`;
  if (digest !== PACKAGE.integrity)
    throw new Error(`${tarball}: found ${digest}, expected ${PACKAGE.integrity}`);
  const { resources, dataSources } = usedTypes();
  const folders = new Map<string, string>([
    ...resources.map((type): [string, string] => [`resource ${type}`, folderOf(type)]),
    ...dataSources.map((type): [string, string] => [`data ${type}`, `data-aws-${folderOf(type)}`]),
  ]);
  const dir = mkdtempSync(join(tmpdir(), "hongbao-schema-"));
  try {
    const wanted = ["provider", ...folders.values()].map((folder) => `package/lib/${folder}/index.js`);
    execFileSync("tar", ["-xzf", tarball, "-C", dir, ...wanted]);
    const blockOf = (folder: string, type: string): Block =>
      readBindings(readFileSync(join(dir, "package", "lib", folder, "index.js"), "utf8"), type);
    const all = (kind: "resource" | "data"): Record<string, Block> =>
      Object.fromEntries(
        [...folders]
          .filter(([key]) => key.startsWith(`${kind} `))
          .map(([key, folder]) => [key.slice(kind.length + 1), blockOf(folder, key.slice(kind.length + 1))]),
      );
    return {
      madeFrom: `${PACKAGE.name}@${PACKAGE.version}`,
      provider: PACKAGE.provider,
      config: blockOf("provider", "aws"),
      resources: all("resource"),
      dataSources: all("data"),
    };
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

if (process.argv[1] === import.meta.filename) {
  const dir = mkdtempSync(join(tmpdir(), "hongbao-bindings-"));
  try {
    const given = process.argv[2];
    const packed =
      given ??
      join(
        dir,
        execFileSync("npm", ["pack", "--silent", `${PACKAGE.name}@${PACKAGE.version}`], {
          cwd: dir,
          encoding: "utf8",
        }).trim(),
      );
    writeFileSync(SCHEMA_FILE, `${JSON.stringify(makeSchema(packed))}\n`);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}
