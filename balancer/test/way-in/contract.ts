/** docs/openapi.yaml as something that answers are held against. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Ajv2020, type ValidateFunction } from "ajv/dist/2020.js";
import { parse } from "yaml";
import type { Answer } from "../haproxy/harness.ts";

const PATH = join(import.meta.dirname, "..", "..", "..", "docs", "openapi.yaml");
const ID = "api";

interface Schema {
  $ref?: string;
  oneOf?: Schema[];
  properties?: Record<string, { const?: string }>;
}
interface Header {
  $ref?: string;
  required?: boolean;
  schema: Schema;
}
interface Response {
  $ref?: string;
  headers?: Record<string, Header>;
  content?: Record<string, { schema: Schema }>;
}
interface Operation {
  operationId: string;
  responses: Record<string, Response>;
}
interface Document {
  paths: Record<string, Record<"get" | "post", Operation | undefined>>;
  components: { schemas: Record<string, Schema>; responses: Record<string, Response> };
}

/** An answer by operation, status and word: `grab 200 won`; the word is `ok` where a body has none. */
type Kind = string;

export class Contract {
  readonly document: Document;
  readonly #ajv: Ajv2020;
  readonly #seen = new Set<Kind>();
  /** By the schema's text: making one takes far longer than using it. */
  readonly #validators = new Map<string, ValidateFunction>();
  #errors = "";

  constructor() {
    this.document = parse(readFileSync(PATH, "utf8")) as Document;
    // An OpenAPI document has words of its own between the schemas.
    this.#ajv = new Ajv2020({ strict: false, allErrors: true });
    this.#ajv.addSchema(this.document, ID);
  }

  /** Every kind of answer that the document knows. */
  documented(): Kind[] {
    return this.#operations().flatMap(({ operation }) =>
      Object.entries(operation.responses).flatMap(([status, response]) =>
        this.#words(response).map((word) => `${operation.operationId} ${status} ${word}`),
      ),
    );
  }

  /** What is documented and was not seen. */
  unseen(): Kind[] {
    return this.documented().filter((kind) => !this.#seen.has(kind));
  }

  /** The statuses that the document gives to each word. */
  statuses(): Map<string, Set<number>> {
    const found = new Map<string, Set<number>>();
    for (const kind of this.documented()) {
      const [, status, word] = kind.split(" ") as [string, string, string];
      if (word === "ok") continue;
      found.set(word, (found.get(word) ?? new Set()).add(Number(status)));
    }
    return found;
  }

  /** What is wrong with an answer, as texts. */
  faults(method: string, path: string, answer: Answer): string[] {
    const bare = path.split("?", 1)[0]!;
    const found = this.#operations().find(
      (each) =>
        each.method === method && each.form.test(bare) && !(method !== "GET" && bare.startsWith("/assets/")),
    );
    const { status, json } = answer;
    const fault = (what: string): string => `${method} ${path.slice(0, 80)} → ${status}: ${what}`;
    // What is no operation gets one answer.
    if (found === undefined) {
      const isRight = status === 404 && ["not_found", "no_such_round"].includes(json?.result ?? "");
      return isRight ? [] : [fault(`found ${answer.text.slice(0, 100)}, expected not_found`)];
    }
    const given = found.operation.responses[String(status)];
    if (given === undefined) return [fault("this status is not documented")];
    const response = this.#response(given);
    this.#seen.add(`${found.operation.operationId} ${status} ${this.#wordOf(response, answer)}`);
    return [...this.#headerFaults(response, answer), ...this.#bodyFaults(response, answer)].map(fault);
  }

  #headerFaults({ headers = {} }: Response, answer: Answer): string[] {
    return Object.entries(headers).flatMap(([name, given]) => {
      const header = given.$ref === undefined ? given : this.#at<Header>(given.$ref);
      const value = [answer.headers[name]].flat()[0];
      if (value === undefined) return header.required === true ? [`no header ${name}`] : [];
      return this.#valid(header.schema, value) ? [] : [`the header ${name} is ${value}`];
    });
  }

  #bodyFaults({ content }: Response, { text, json, headers }: Answer): string[] {
    if (content === undefined) return text === "" ? [] : [`found a body: ${text.slice(0, 100)}`];
    const [[type, { schema }]] = Object.entries(content) as [[string, { schema: Schema }]];
    if (!(headers["content-type"] ?? "").startsWith(type))
      return [`found ${headers["content-type"]}, expected ${type}`];
    if (this.#valid(schema, type === "application/json" ? json : text)) return [];
    return [`${text.slice(0, 300)} does not fit: ${this.#errors}`];
  }

  #valid(schema: Schema, value: unknown): boolean {
    const text = JSON.stringify(schema);
    let validate = this.#validators.get(text);
    if (validate === undefined) {
      // References within the document are the document's.
      validate = this.#ajv.compile(JSON.parse(text.replaceAll('"$ref":"#', `"$ref":"${ID}#`)) as Schema);
      this.#validators.set(text, validate);
    }
    const isValid = validate(value);
    this.#errors = isValid ? "" : this.#ajv.errorsText(validate.errors);
    return isValid;
  }

  #operations(): { method: string; form: RegExp; operation: Operation }[] {
    return Object.entries(this.document.paths).flatMap(([path, item]) => {
      const form = new RegExp(`^${path.replaceAll(".", "\\.").replaceAll(/\{\w+\}/g, "([^/]+)")}$`);
      return (["get", "post"] as const).flatMap((method) => {
        const operation = item[method];
        return operation === undefined ? [] : [{ method: method.toUpperCase(), form, operation }];
      });
    });
  }

  #response(response: Response): Response {
    return response.$ref === undefined ? response : this.#at<Response>(response.$ref);
  }

  #schemas(response: Response): Schema[] {
    const { schema } = Object.values(this.#response(response).content ?? {})[0] ?? {};
    if (schema === undefined) return [];
    return (schema.oneOf ?? [schema]).map((each) =>
      each.$ref === undefined ? each : this.#at<Schema>(each.$ref),
    );
  }

  #words(response: Response): string[] {
    const words = this.#schemas(response).map(({ properties }) => properties?.["result"]?.const ?? "ok");
    return words.length === 0 ? ["ok"] : words;
  }

  #wordOf(response: Response, { json }: Answer): string {
    const words = this.#words(response);
    return words.length === 1 && words[0] === "ok" ? "ok" : String(json?.result);
  }

  #at<T>(reference: string): T {
    const names = reference.replace(/^#\//, "").split("/");
    return names.reduce<unknown>(
      (value, name) => (value as Record<string, unknown>)[name],
      this.document,
    ) as T;
  }
}
