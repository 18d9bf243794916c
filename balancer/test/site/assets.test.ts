/** The static folder as a whole: light, complete, and without a call to anyone else. */
import { readdir, readFile } from "node:fs/promises";
import { gzipSync } from "node:zlib";
import t from "tap";
import { buildSite } from "../../src/conductor/site-files.ts";

const SITE = new URL("../../site/", import.meta.url);
const GZIP_BYTES_MAX = 60 * 1024;

const names = await readdir(SITE);
const texts = new Map<string, string>();
for (const name of names) texts.set(name, await readFile(new URL(name, SITE), "utf8"));
const page = texts.get("index.html") ?? "";

void t.test("under 60 KB gzipped in all", async (t) => {
  const files = [...buildSite().files.values()];
  const bytes = files.reduce((sum, { body }) => sum + gzipSync(body, { level: 9 }).length, 0);
  t.comment(`${bytes} bytes gzipped`);
  t.ok(bytes < GZIP_BYTES_MAX);
  t.ok(files.every(({ url }) => url === "/" || /^\/assets\/[a-z0-9]+\.[0-9a-f]{10}\.(js|css)$/.test(url)));
});

void t.test("every asset that is asked for is there, and every module is asked for at once", async (t) => {
  const asked = [...page.matchAll(/(?:href|src)="\/assets\/([^"]+)"/g)].map((match) => match[1]);
  const imported = [...texts.values()]
    .flatMap((text) => [...text.matchAll(/from "\.\/([^"]+)"/g)])
    .map((match) => match[1]);
  for (const name of [...asked, ...imported]) t.ok(names.includes(name ?? ""), name ?? "");
  const modules = names.filter((name) => name.endsWith(".js"));
  t.same(
    modules.filter((name) => !asked.includes(name)),
    [],
    "no module is found out by importing only",
  );
});

void t.test(
  "nothing is loaded from elsewhere, and nothing inline stands in the way of a strict policy",
  async (t) => {
    for (const [name, text] of texts) {
      const hosts = text.match(/https?:\/\/[^\s"'<)]+/g) ?? [];
      const allowed = ["http://www.w3.org/2000/svg", "https://api.example.com"];
      t.same(
        hosts.filter((host) => !allowed.includes(host)),
        [],
        name,
      );
      t.notMatch(text, /innerHTML|document\.write|\beval\(|new Function/, name);
    }
    t.notMatch(page, /<script(?![^>]*\ssrc=)|<style|\sstyle="|\son\w+="/);
  },
);

/** Relative luminance and contrast as WCAG 2 defines them. */
function luminance(hex: string): number {
  const [red, green, blue] = (hex.match(/[0-9a-f]{2}/g) ?? []).map((part) => {
    const share = parseInt(part, 16) / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red! + 0.7152 * green! + 0.0722 * blue!;
}

function contrast(a: string, b: string): number {
  const [dark, light] = [luminance(a), luminance(b)].sort((x, y) => x - y);
  return (light! + 0.05) / (dark! + 0.05);
}

void t.test("every text has a contrast of 4.5 to what is behind it, by day and by night", async (t) => {
  const sheet = texts.get("style.css") ?? "";
  const coloursOf = (text: string) =>
    new Map([...text.matchAll(/--([a-z-]+): (#[0-9a-f]{6});/g)].map(([, name, hex]) => [name!, hex!]));
  const [day, night] = sheet.split("@media (prefers-color-scheme: dark)");
  const byDay = coloursOf(day ?? "");
  const byNight = new Map([...byDay, ...coloursOf((night ?? "").split("\n}\n")[0]!)]);
  const flap = "#c82525";
  t.match(texts.get("envelope.css"), flap);
  const pairs = [
    ["ink", "paper"],
    ["ink-soft", "paper"],
    ["ink", "panel"],
    ["ink-soft", "panel"],
    ["accent", "panel"],
    ["wait", "wait-back"],
    ["good", "good-back"],
    ["cream", flap],
    ["gold-light", flap],
    ["gold-light", "red-inside"],
  ] as const;
  for (const colours of [byDay, byNight]) {
    const hex = (name: string): string => (name.startsWith("#") ? name : (colours.get(name) ?? ""));
    for (const [text, behind] of pairs) {
      const found = contrast(hex(text), hex(behind));
      t.ok(found >= 4.5, `${text} on ${behind}: ${found.toFixed(2)}`);
    }
  }
});
