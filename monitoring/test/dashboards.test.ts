import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import { CATALOGUE, METRIC_PREFIX } from "../src/index.ts";
import { dashboardFiles, DASHBOARDS } from "../src/dashboards/build.ts";
import { COLUMNS } from "../src/dashboards/panels.ts";

const FOLDER = join(import.meta.dirname, "..", "dashboards");

t.test("the files are what the source makes", async (t) => {
  const files = dashboardFiles();
  if (process.env.HONGBAO_UPDATE) {
    mkdirSync(FOLDER, { recursive: true });
    for (const [name, text] of Object.entries(files)) writeFileSync(join(FOLDER, name), text);
  }
  t.same(readdirSync(FOLDER).sort(), Object.keys(files).sort());
  for (const [name, text] of Object.entries(files))
    t.ok(readFileSync(join(FOLDER, name), "utf8") === text, `${name}: run this test with HONGBAO_UPDATE=1`);
});

t.test("every panel says what it shows, in a unit, within the grid", async (t) => {
  for (const { title, rows } of DASHBOARDS) {
    for (const panel of rows.flatMap(({ panels }) => panels)) {
      const name = `${title}: ${panel.title}`;
      t.match(panel.about, /^[A-Z0-9].*\.$/, `${name} is explained in sentences`);
      t.ok(panel.width > 0 && panel.width <= COLUMNS, name);
      t.ok(panel.queries.length > 0 && panel.queries.every(({ legend }) => legend !== ""), name);
    }
  }
});

t.test("queries name metrics and variables that there are", async (t) => {
  const suffixes = { counter: [""], gauge: [""], histogram: ["_bucket", "_sum", "_count"] } as const;
  const known = new Set(
    CATALOGUE.flatMap(({ name, type }) => suffixes[type].map((suffix) => METRIC_PREFIX + name + suffix)),
  );
  for (const { title, variables, rows } of DASHBOARDS) {
    const text = rows
      .flatMap(({ panels }) => panels.flatMap(({ queries }) => queries.map(({ expr }) => expr)))
      .join("\n");
    for (const [name] of text.matchAll(/hongbao_\w+/g)) t.ok(known.has(name), `${title}: ${name}`);
    const used = new Set(
      Array.from(text.matchAll(/\$(\w+)/g), ([, name]) => name!).filter((name) => !name.startsWith("__")),
    );
    t.same([...used].sort(), [...variables].sort(), `${title} has the variables that it uses`);
  }
});
