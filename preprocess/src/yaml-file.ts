/**
 * Reads a YAML file against a schema and names file, line and field of whatever is wrong.
 * Schemas give what they expect as the message of their error ("a whole number from 1 to 99").
 */
import { readFileSync, statSync } from "node:fs";
import { isMap, isNode, isPair, isScalar, LineCounter, parseDocument } from "yaml";
import type { Document } from "yaml";
import { z } from "zod";
import { BadInput, errorCode, Unreachable } from "./errors.ts";

export type FieldPath = readonly PropertyKey[];

export interface YamlFile<T> {
  data: T;
  /** `event.yaml:12: rounds[0].count` for the start of a message. */
  where: (path: FieldPath) => string;
}

/** Event and topology files are written by people; anything larger is another kind of file. */
const BYTES_MAX = 4 * 1024 * 1024;

/**
 * The file's content, checked. Throws BadInput (syntax, schema: file, line, field, found, expected) and
 * Unreachable when there is no such file.
 */
export function readYaml<S extends z.ZodType>(path: string, schema: S, what: string): YamlFile<z.output<S>> {
  const text = readText(path, what);
  const counter = new LineCounter();
  const document = parseDocument(text, { lineCounter: counter, prettyErrors: false });
  const fault = document.errors[0] ?? document.warnings[0];
  if (fault) {
    const { line, col } = counter.linePos(fault.pos[0]);
    throw new BadInput(`${path}:${line}:${col}: found ${fault.message.trim()}, expected YAML`);
  }
  const where = (field: FieldPath): string => {
    const name = fieldName(field);
    return `${path}:${lineOf(document, counter, field)}${name ? `: ${name}` : ""}`;
  };
  const raw = plainValue(document, path);
  const result = schema.safeParse(raw);
  if (result.success) return { data: result.data, where };
  throw new BadInput(explain(result.error.issues[0]!, raw, where));
}

/** Aliases are resolved here: one of nothing, or too many of them, is the file's fault. */
function plainValue(document: Document.Parsed, path: string): unknown {
  try {
    return document.toJS({ maxAliasCount: 100 });
  } catch (error) {
    throw new BadInput(`${path}: found ${(error as Error).message.trim()}, expected YAML`);
  }
}

function readText(path: string, what: string): string {
  try {
    const { size } = statSync(path);
    if (size > BYTES_MAX)
      throw new BadInput(`${path}: found ${size} bytes, expected ${what} of at most 4 MB`);
    return new TextDecoder("utf-8", { fatal: true }).decode(readFileSync(path));
  } catch (error) {
    if (error instanceof BadInput) throw error;
    const code = errorCode(error);
    if (code === "ERR_ENCODING_INVALID_ENCODED_DATA") {
      throw new BadInput(`${path}: found bytes that are not UTF-8, expected ${what} in UTF-8`);
    }
    if (code === "ENOENT") throw new Unreachable(`${path}: no such file; expected ${what}`);
    throw new Unreachable(`${path}: cannot be read (${code || String(error)}); expected ${what}`);
  }
}

/** `["rounds", 0, "split"]` → `rounds[0].split`. */
function fieldName(path: FieldPath): string {
  return path.reduce<string>((name, step) => {
    if (typeof step === "number") return `${name}[${step}]`;
    return name ? `${name}.${String(step)}` : String(step);
  }, "");
}

/** The line of a field's key, or of the nearest thing around it that is there. */
function lineOf(document: Document.Parsed, counter: LineCounter, path: FieldPath): number {
  let offset = 0;
  let node: unknown = document.contents;
  for (const step of path) {
    if (!isMap(node) && !(isNode(node) && "items" in node)) break;
    const items = (node as { items: unknown[] }).items;
    const item = isMap(node)
      ? items.find((pair) => isPair(pair) && isScalar(pair.key) && String(pair.key.value) === String(step))
      : items[Number(step)];
    if (item === undefined) break;
    node = isPair(item) ? item.value : item;
    const start = isPair(item) && isNode(item.key) ? item.key.range : isNode(item) ? item.range : null;
    offset = start?.[0] ?? offset;
  }
  return counter.linePos(offset).line;
}

function explain(issue: z.core.$ZodIssue, raw: unknown, where: (path: FieldPath) => string): string {
  if (issue.code === "unrecognized_keys") {
    const key = issue.keys[0]!;
    return `${where([...issue.path, key])}: found an unknown field, expected none of this name (a typing error?)`;
  }
  let value = raw;
  for (const step of issue.path) value = (value as Record<PropertyKey, unknown> | null | undefined)?.[step];
  if (value === undefined) return `${where(issue.path)}: is missing, expected ${issue.message}`;
  return `${where(issue.path)}: found ${shown(value)}, expected ${issue.message}`;
}

/** A value as it goes into a message: short, on one line, without the password of a URL. */
export function shown(value: unknown): string {
  const text = (JSON.stringify(value) ?? String(value)).replaceAll(/(:\/\/[^/@\s:]*):[^@\s]*@/g, "$1:…@");
  return text.length > 80 ? `${text.slice(0, 77)}…` : text;
}

/** A text field: `what` is the expectation in words. */
export function textField(pattern: RegExp, what: string): z.ZodString {
  return z.string({ error: what }).regex(pattern, { error: what });
}

/** A whole number from min to max. */
export function wholeField(min: number, max: number): z.ZodInt {
  const error = `a whole number from ${min} to ${max}`;
  return z.int({ error }).min(min, { error }).max(max, { error });
}

/** One of a few words. */
export function wordField<const W extends readonly [string, ...string[]]>(words: W) {
  return z.enum(words, { error: `one of ${words.join(", ")}` });
}

/** A map with these fields and no others. */
export function mapField<const S extends z.core.$ZodLooseShape>(shape: S, what: string) {
  return z.strictObject(shape, {
    error: (issue) => (issue.code === "unrecognized_keys" ? undefined : what),
  });
}

/** A list of min to max entries. */
export function listField<T extends z.ZodType>(entry: T, min: number, max: number, what: string) {
  const error = `a list of ${min} to ${max} ${what}`;
  return z.array(entry, { error }).min(min, { error }).max(max, { error });
}
