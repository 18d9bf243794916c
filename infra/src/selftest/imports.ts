/** What a source file imports, found without a parser: the code base uses ES imports in their plain forms only. */

export interface Import {
  specifier: string;
  /** Erased when it runs, so it neither makes a cycle nor needs a package at run time. */
  typeOnly: boolean;
  /** By `import()`: loaded later, so it makes no cycle. */
  lazy: boolean;
}

const STATIC = /^(?:import|export)\s+(type\s+)?(?:[^"';]*?\bfrom\s*)?["']([^"'\n]+)["']/gm;
const LAZY = /\bimport\(\s*["']([^"'\n]+)["']\s*\)/g;

export function importsOf(source: string): Import[] {
  const code = withoutComments(source);
  const found: Import[] = [];
  for (const [statement, type, specifier] of code.matchAll(STATIC)) {
    found.push({
      specifier: specifier!,
      typeOnly: type !== undefined || namesOnlyTypes(statement),
      lazy: false,
    });
  }
  for (const [, specifier] of code.matchAll(LAZY))
    found.push({ specifier: specifier!, typeOnly: false, lazy: true });
  return found;
}

/** `import { type A, type B } from "x"`. */
function namesOnlyTypes(statement: string): boolean {
  const names = /\{([^}]*)\}/
    .exec(statement)?.[1]
    ?.split(",")
    .filter((name) => name.trim() !== "");
  return names !== undefined && names.length > 0 && names.every((name) => /^\s*type\s/.test(name));
}

function withoutComments(source: string): string {
  return source.replaceAll(/\/\*[^]*?\*\//g, "").replaceAll(/^\s*\/\/.*$/gm, "");
}

/** The name of the package of a bare specifier: `@a/b/c` → `@a/b`; null for files and Node's own modules. */
export function packageOf(specifier: string): string | null {
  if (specifier.startsWith(".") || specifier.startsWith("/") || specifier.startsWith("node:")) return null;
  return specifier.split("/", specifier.startsWith("@") ? 2 : 1).join("/");
}

/** The files of one import cycle, or null. `graph` maps each file to those it imports. */
export function findCycle(graph: Map<string, string[]>): string[] | null {
  const done = new Set<string>();
  const visit = (file: string, path: string[]): string[] | null => {
    if (path.includes(file)) return [...path.slice(path.indexOf(file)), file];
    if (done.has(file)) return null;
    for (const next of graph.get(file) ?? []) {
      const cycle = visit(next, [...path, file]);
      if (cycle) return cycle;
    }
    done.add(file);
    return null;
  };
  for (const file of graph.keys()) {
    const cycle = visit(file, []);
    if (cycle) return cycle;
  }
  return null;
}
