/** House rules that no other tool here checks: import cycles, packages used but not declared, stray console output. */
import { globSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { findCycle, importsOf, packageOf } from "./imports.ts";

/** Longer files have a reason, or are two. */
const LINES_MAX = 450;
const IGNORED = /(^|\/)(node_modules|\.tap|\.hongbao|coverage)\//;

interface Source {
  path: string;
  text: string;
}

/** Every offence, one a line; none is a clean house. `root` is the repository. */
export function hygieneOffences(root: string): string[] {
  const { workspaces } = readJson<{ workspaces: string[] }>(join(root, "package.json"));
  const sources = globSync("**/*.{ts,js}", { cwd: root, exclude: (path) => IGNORED.test(`${String(path)}/`) })
    .filter((path) => !IGNORED.test(path))
    .sort()
    .map((path) => ({ path, text: readFileSync(join(root, path), "utf8") }));
  return [
    ...cycles(root, sources),
    ...workspaces.flatMap((folder) => undeclared(root, folder, sources)),
    ...sources.filter(({ text }) => /\bconsole\.log\(/.test(text)).map(({ path }) => `${path}: console.log`),
    ...sources
      .map(({ path, text }) => ({ path, lines: text.split("\n").length - 1 }))
      .filter(({ lines }) => lines > LINES_MAX)
      .map(({ path, lines }) => `${path}: ${lines} lines, at most ${LINES_MAX} are allowed`),
  ];
}

function cycles(root: string, sources: Source[]): string[] {
  const graph = new Map<string, string[]>();
  for (const { path, text } of sources) {
    const imported = importsOf(text).filter(({ specifier, typeOnly, lazy }) => {
      return specifier.startsWith(".") && !typeOnly && !lazy;
    });
    const files = imported.map(({ specifier }) => relative(root, resolve(root, dirname(path), specifier)));
    graph.set(path, files);
  }
  const cycle = findCycle(graph);
  return cycle ? [`import cycle: ${cycle.join(" -> ")}`] : [];
}

interface Manifest {
  name: string;
  dependencies?: Record<string, string>;
  devDependencies?: Record<string, string>;
}

/** What ships may use what it declares; tests and benchmarks also what is there for development, and any folder. */
function undeclared(root: string, folder: string, sources: Source[]): string[] {
  const own = readJson<Manifest>(join(root, folder, "package.json"));
  const top = readJson<Manifest>(join(root, "package.json"));
  const forCode = new Set([own.name, ...Object.keys(own.dependencies ?? {})]);
  const forTests = new Set([
    ...forCode,
    ...Object.keys({ ...own.devDependencies, ...top.dependencies, ...top.devDependencies }),
  ]);
  const offences: string[] = [];
  for (const { path, text } of sources.filter((source) => source.path.startsWith(`${folder}/`))) {
    const isTest = !path.startsWith(`${folder}/src/`);
    for (const { specifier, typeOnly } of importsOf(text)) {
      const name = packageOf(specifier);
      if (name === null || (isTest ? forTests : forCode).has(name)) continue;
      if (isTest && name.startsWith("@hongbao/")) continue;
      // Types come from @types packages, which only development needs.
      if (typeOnly && forTests.has(`@types/${name}`)) continue;
      offences.push(`${path}: imports ${name}, which ${folder}/package.json does not declare`);
    }
  }
  return offences;
}

function readJson<T>(path: string): T {
  return JSON.parse(readFileSync(path, "utf8")) as T;
}
