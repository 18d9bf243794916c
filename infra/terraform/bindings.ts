/**
 * Reads what a resource of the AWS provider takes out of its published TypeScript bindings (npm, @cdktn/provider-aws), whose
 * JavaScript was generated from the provider's own schema: each class lists its arguments with their types
 * (`synthesizeHclAttributes`, `…ToHclTerraform`) and says of every attribute whether it is required, optional or computed.
 * Nothing of the bindings is run.
 */

/** As Terraform writes types: "string", ["list", "string"], ["object", { … }]. */
export type AttributeType =
  | "string"
  | "number"
  | "bool"
  | ["list" | "set" | "map", AttributeType]
  | ["object", Record<string, AttributeType>];

export interface Attribute {
  type: AttributeType;
  required?: true;
  optional?: true;
  computed?: true;
}

export interface NestedBlock {
  nesting: "single" | "list" | "set";
  min?: 1;
  max?: 1;
  block: Block;
}

export interface Block {
  attributes: Record<string, Attribute>;
  blocks: Record<string, NestedBlock>;
}

interface Argument {
  name: string;
  /** The function that writes the nested block, or null for an attribute. */
  nested: string | null;
  many: boolean;
  type: string;
  storage: string;
}

interface Flags {
  required: boolean;
  optional: boolean;
  computed: boolean;
  /** The lines that follow, which tell the type of what is computed only. */
  code: string;
}

/** The block of the class that says it is `terraformType`. Throws when it finds none. */
export function readBindings(source: string, terraformType: string): Block {
  const main = classes(source).find(({ body }) =>
    body.includes(`static tfResourceType = "${terraformType}"`),
  );
  if (main === undefined) throw new Error(`${terraformType}: found no such class in the bindings`);
  const body = main.body.slice(main.body.lastIndexOf("synthesizeHclAttributes()"));
  return blockOf(source, parseArguments(body), flagsOf(main.body));
}

function classes(source: string): { name: string; body: string }[] {
  const starts = [...source.matchAll(/^class (\w+) extends /gm)];
  return starts.map((match, index) => ({
    name: match[1]!,
    body: source.slice(match.index, starts[index + 1]?.index ?? source.length),
  }));
}

const ARGUMENT =
  /^ {8,12}(\w+): \{\n\s+value: (.*),\n\s+isBlock: (true|false),\n\s+type: "(\w+)",\n\s+storageClassType: "(\w+)",\n\s+\},/gm;

function parseArguments(body: string): Argument[] {
  const found: Argument[] = [];
  for (const [, name, value, isBlock, type, storage] of body.matchAll(ARGUMENT)) {
    const nested = isBlock === "true" ? (/(\w+)ToHclTerraform/.exec(value!)?.[1] ?? null) : null;
    found.push({
      name: name!,
      nested,
      many: value!.startsWith("cdktn.listMapperHcl"),
      type: type!,
      storage: storage!,
    });
  }
  return found;
}

function flagsOf(body: string): Map<string, Flags> {
  const marks = [
    ...body.matchAll(
      /\/\/ (\w+) - computed: (true|false), optional: (true|false), required: (true|false)\n/g,
    ),
  ];
  return new Map(
    marks.map((mark, index) => [
      // The bindings dodge words of their own language.
      mark[1]!.replace(/^_/, ""),
      {
        computed: mark[2] === "true",
        optional: mark[3] === "true",
        required: mark[4] === "true",
        code: body.slice(mark.index, marks[index + 1]?.index ?? mark.index + 400),
      },
    ]),
  );
}

function blockOf(source: string, args: Argument[], flags: Map<string, Flags>): Block {
  const block: Block = { attributes: {}, blocks: {} };
  for (const argument of args) {
    const { name, nested, many, type } = argument;
    const { required = false, optional = true, computed = false } = flags.get(name) ?? {};
    if (nested === null) {
      block.attributes[name] = {
        type: typeOf(argument),
        ...(required ? { required: true } : {}),
        ...(optional ? { optional: true } : {}),
        ...(computed ? { computed: true } : {}),
      };
    } else {
      block.blocks[name] = {
        nesting: type === "struct" ? "single" : type === "set" ? "set" : "list",
        ...(required ? { min: 1 } : {}),
        ...(many || type === "struct" ? {} : { max: 1 }),
        block: nestedBlock(source, nested),
      };
    }
  }
  for (const [name, { computed, optional, required, code }] of flags) {
    if (computed && !optional && !required && !(name in block.attributes)) {
      block.attributes[name] = { type: computedType(source, code), computed: true };
    }
  }
  return block;
}

function nestedBlock(source: string, nested: string): Block {
  const start = source.indexOf(`function ${nested}ToHclTerraform(struct) {`);
  if (start < 0) throw new Error(`found no ${nested}ToHclTerraform in the bindings`);
  const end = source.indexOf("\n}\n", start);
  const output = `${nested[0]!.toUpperCase()}${nested.slice(1)}OutputReference`;
  const described = classes(source).find(({ name }) => name === output);
  return blockOf(source, parseArguments(source.slice(start, end)), flagsOf(described?.body ?? ""));
}

const SIMPLE: Record<string, AttributeType> = { string: "string", number: "number", boolean: "bool" };

function typeOf({ name, type, storage }: Argument): AttributeType {
  const element = SIMPLE[storage.replace(/(List|Map)$/, "")];
  if (element === undefined)
    throw new Error(`${name}: found the type ${type} ${storage}, which this reader does not know`);
  if (type === "simple") return element;
  if (type === "list" || type === "set" || type === "map") return [type, element];
  throw new Error(`${name}: found the type ${type} ${storage}, which this reader does not know`);
}

function computedType(source: string, code: string): AttributeType {
  const structure = /new (\w+?)(List|OutputReference)\(this/.exec(code);
  if (structure) {
    const output = classes(source).find(({ name }) => name === `${structure[1]!}OutputReference`);
    const fields = [...flagsOf(output?.body ?? "")].map(([name, flags]): [string, AttributeType] => [
      name,
      computedType(source, flags.code),
    ]);
    return ["list", ["object", Object.fromEntries(fields)]];
  }
  const getter = /return (?:cdktn\.Fn\.tolist\()?this\.get(\w+)Attribute\(/.exec(code)?.[1] ?? "String";
  const element = SIMPLE[getter.replace(/(List|Map)$/, "").toLowerCase()] ?? "string";
  if (getter.endsWith("List")) return [code.includes("tolist") ? "set" : "list", element];
  return getter.endsWith("Map") || code.includes("cdktn.StringMap") ? ["map", element] : element;
}
