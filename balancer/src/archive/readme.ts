/** The page that explains an archive to whoever opens it in March, without this software at hand. */
import { formatMoney } from "@hongbao/preprocess";
import { ARCHIVE_TABLES } from "@hongbao/bucket-service";
import { PART_ROWS_MAX, type ArchiveManifest } from "./format.ts";

type Facts = Omit<ArchiveManifest, "files">;

export function readmeText(facts: Facts): string {
  const { event, createdAt, by, why, software, totals } = facts;
  const revision = software.revision === null ? "" : ` (revision ${software.revision})`;
  return `# Archive of the event ${event.id}

Made ${createdAt} by ${by}${why === "" ? "" : `: ${why}`}. Software: Hongbao ${software.version}${revision}, Node ${software.node}.
${forcedText(facts)}
| what | prizes | ${event.currency} |
|---|---|---|
${(["claimed", "paid", "pending", "held", "dead", "left", "burned"] as const)
  .map((name) => `| ${WORDS[name]} | ${totals[name].count} | ${formatMoney(totals[name].amount)} |`)
  .join("\n")}

**This is personal data.** User ids stand here as in the user list, with what each user won and when; names do not. Keep and
delete it by your rules for pay records. There are no passwords, keys that still open anything, or master seeds in it.

## How to check it

    sha256sum -c SHA256SUMS              # every file is what was written
    hongbao archive --verify DIR         # that, and all counts and all money again, without the cluster

The digest of the archive is the SHA-256 of manifest.json. It was told when the archive was made; whoever wrote it down elsewhere
gives it with \`--digest\`, and knows also of a change that made everything fit again.

## Files

| file | holds |
|---|---|
| manifest.json | who made it and why, totals, every file with its size and SHA-256 |
| audit.json | the audit's report: for each round and bucket what was generated, borrowed, issued, left, burned, claimed, paid |
| control.ndjson | the conductor's records, one JSON object a line: \`rounds/R\` the schedule, \`keys/R\` the keys of openings, \`transfers/N\` prizes that moved, \`switches\`, \`users\` and \`log/…\`: what operators and the conductor did, in order |
| seeds.json | the commitment to each round's seed, published before the event, and the seed, if it was revealed |
| pack/ | what was generated: the manifest with rounds, ranges and digests, the times as planned |
| schema.json | the tables below, for programs |
| BUCKET/TABLE-0001.csv.gz | the tables of each bucket |

Tables are CSV (RFC 4180, UTF-8, a header in every file), compressed with gzip, in the order of their keys, in files of at most
${PART_ROWS_MAX} rows. An empty cell is NULL, an empty text is \`""\`. Amounts are whole minor units (cents), times are UTC.
\`zcat b0/claims-0001.csv.gz | head\` shows one; spreadsheets, DuckDB and pandas read them as they are.

${ARCHIVE_TABLES.map(tableText).join("\n")}`;
}

const WORDS = {
  claimed: "won",
  paid: "paid",
  pending: "not paid (with held)",
  held: "of these held: the user was denied",
  dead: "not paid: refused or given up",
  left: "left over",
  burned: "burned",
} as const;

function forcedText({ forced, why, findings }: Facts): string {
  if (forced.length === 0) return "";
  return `
**It was forced**, although ${forced.join("; ")}. The reason given: ${why}. The check of the tables found then:
${findings.length === 0 ? "nothing." : findings.map((line) => `\n- ${line}`).join("")}
`;
}

function tableText({ name, what, columns, key }: (typeof ARCHIVE_TABLES)[number]): string {
  const rows = columns.map((column) => `| ${column.name} | ${column.type} | ${column.what} |`);
  return `### ${name}\n\n${what} Key: ${key.join(", ")}.\n\n| column | type | is |\n|---|---|---|\n${rows.join("\n")}\n`;
}
