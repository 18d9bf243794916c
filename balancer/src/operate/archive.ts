/** `hongbao archive`: everything an auditor needs, in one directory, before the cluster is destroyed. */
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import {
  BadInput,
  CheckFailed,
  confirmAct,
  findTopology,
  formatMoney,
  openPack,
  print,
  printJson,
  readSecrets,
  readTopology,
  say,
  Unreachable,
  type Pack,
  type Secrets,
  type Topology,
} from "@hongbao/preprocess";
import { bucketRest } from "@hongbao/bucket-service";
import { controlRecords, type ControlLine } from "../archive/control-records.ts";
import { AUDIT, SEEDS, type ArchiveManifest } from "../archive/format.ts";
import { makeArchive } from "../archive/make.ts";
import type { Seed } from "../archive/prizes.ts";
import { reasonsAgainst, type Reason } from "../archive/reasons.ts";
import { uploadArchive } from "../archive/upload.ts";
import { verifyArchive, type Verdict } from "../archive/verify.ts";
import { eventStore } from "../conductor/records.ts";
import { openControlStore } from "../control/open.ts";
import { auditAll, type AuditReport } from "./audit.ts";
import { openControllers, type Where } from "./controllers.ts";
import { byDefault } from "./round.ts";

export interface ArchiveOptions extends Where {
  out?: string;
  verify?: string;
  digest?: string;
  force?: boolean;
  by?: string;
  why?: string;
  json?: boolean;
}

export async function runArchive(options: ArchiveOptions): Promise<void> {
  const { out, verify, digest } = options;
  if ((out === undefined) === (verify === undefined))
    throw new BadInput("archive: expected --out DIR (to make one) or --verify DIR (to check one)");
  if (verify !== undefined) return runVerify(resolve(verify), digest, options.json === true);
  if (digest !== undefined) throw new BadInput("--digest: found with --out, expected it with --verify");
  return runMake(resolve(out!), options);
}

async function runVerify(dir: string, digest: string | undefined, json: boolean): Promise<void> {
  if (digest !== undefined && !/^[0-9a-f]{64}$/.test(digest))
    throw new BadInput(`--digest: found "${digest}", expected 64 hex digits: what was told when it was made`);
  const verdict = await verifyArchive(dir, digest === undefined ? {} : { expected: digest });
  if (json) printJson({ ...verdict, archive: dir, manifest: { ...verdict.manifest, files: undefined } });
  else tellVerdict(dir, verdict, digest !== undefined);
  const { ok, damage, findings } = verdict;
  if (!ok)
    throw new CheckFailed(`${dir} is not what was archived: ${damage.length + findings.length} findings`);
}

function tellVerdict(
  dir: string,
  { ok, manifest, digest, damage, findings, drawn }: Verdict,
  isCompared: boolean,
): void {
  for (const line of [...damage, ...findings]) print(line);
  const { event, createdAt, by, files, totals, forced } = manifest;
  print(
    `${dir}: event ${event.id}, archived ${createdAt} by ${by}, ${files.length} files, SHA-256 ${digest}`,
  );
  if (forced.length > 0) print(`it was forced although ${forced.join("; ")} (${manifest.why})`);
  if (!ok) return print("NOT what was archived");
  for (const name of ["claimed", "paid", "pending", "dead"] as const)
    print(
      `${name.padEnd(8)} ${totals[name].count} prizes, ${formatMoney(totals[name].amount)} ${event.currency}`,
    );
  const seeds =
    drawn.length === 0 ? "no seed was revealed" : `rounds ${drawn.join(", ")} drawn again from their seeds`;
  print(`whole: every file as written, every count and amount agrees, ${seeds}`);
  if (!isCompared) print("give --digest to know that it is the one that was made, and not another whole one");
}

interface Scene {
  topology: Topology;
  secrets: Pick<Secrets, "redis" | "mysql">;
  pack: Pack;
}

/** What was made, or was there already. */
interface Made {
  manifest: ArchiveManifest;
  digest: string;
  /** Where in S3 it is, when the topology names a place. */
  uploaded: string | null;
}

/** Something speaks against an archive. */
export class NotArchived extends CheckFailed {
  readonly reasons: readonly Reason[];

  constructor(message: string, reasons: readonly Reason[]) {
    super(message);
    this.reasons = reasons;
  }
}

async function runMake(out: string, options: ArchiveOptions): Promise<void> {
  try {
    tellMade(out, await archiveEvent(out, options), options.json === true);
  } catch (error) {
    if (error instanceof NotArchived && options.json) printJson({ ok: false, reasons: error.reasons });
    throw error;
  }
}

/** Looks, judges, makes, sends, and leaves a line in the log. Throws NotArchived, CheckFailed, BadInput and Unreachable. */
export async function archiveEvent(
  out: string,
  options: Pick<ArchiveOptions, "topology" | "state" | "force" | "by" | "why">,
): Promise<Made> {
  const { force = false, why = "", by = byDefault() } = options;
  if (force && why.trim() === "")
    throw new BadInput("--force: expected --why TEXT: it stands in the archive");
  const topology = readTopology(findTopology(options.topology, options.state));
  const secrets = readSecrets(topology, ["redis", "mysql"]);
  const pack = openPack(topology.pack, { verify: true });
  try {
    const scene = { topology, secrets, pack };
    const place = topology.archive === undefined ? out : `${out}, and from there to ${topology.archive}`;
    await confirmAct({
      what: [
        `Topology ${topology.path}, event ${pack.manifest.event.id}, buckets ${topology.buckets.map(({ id }) => id).join(", ")}`,
        `Will write everything that an auditor needs to ${place}; changes nothing in the cluster.`,
      ],
    });
    const before = placeAt(out, pack);
    const facts = await look(scene);
    const forced = judge(facts.reasons, force);
    const made =
      before === null
        ? await makeArchive(out, { ...scene, ...facts, by, why, forced, createdAt: new Date() })
        : await sameAgain(out, facts);
    const uploaded = topology.archive === undefined ? null : await uploadArchive(out, topology.archive);
    await note(options, { by, why, out: uploaded ?? out, digest: made.digest, forced });
    return { ...made, uploaded };
  } finally {
    pack.close();
  }
}

/** What stands at `out`: nothing (null), or an archive of this event. Throws BadInput for anything else. */
function placeAt(out: string, pack: Pack): "archive" | null {
  if (!existsSync(out)) return null;
  if (statSync(out).isDirectory() && readdirSync(out).length === 0) return null;
  if (existsSync(join(out, AUDIT)) && existsSync(join(out, "pack", "pack.json"))) {
    const text = readFileSync(join(out, "pack", "pack.json"), "utf8");
    if (text === readFileSync(join(pack.dir, "pack.json"), "utf8")) return "archive";
  }
  throw new BadInput(`--out: found ${out} with something else in it, expected a new directory`);
}

interface Facts {
  audit: AuditReport;
  control: ControlLine[];
  seeds: Seed[];
  reasons: Reason[];
}

/** Errors: Unreachable, naming the store. */
async function look({ topology, secrets, pack }: Scene): Promise<Facts> {
  const { event, rounds } = pack.manifest;
  const control = await controlRecords(
    eventStore(await openControlStore(topology.control), event.id, pack.digest),
  );
  const buckets = [];
  for (const bucket of topology.buckets)
    buckets.push({ id: bucket.id, ...(await bucketRest({ pack, bucket, secrets })) });
  const audit = await auditAll({ topology, secrets, pack });
  const recordOf = (round: number) =>
    control.find(({ name }) => name === `rounds/${round}`)?.value as
      { state: "scheduled" | "open" | "closed"; seed?: string } | undefined;
  const states = rounds.map(({ id }) => ({
    round: id,
    state: recordOf(id)?.state ?? ("scheduled" as const),
  }));
  const seeds = rounds.map(({ id, commitment }) => ({
    round: id,
    commitment,
    seed: recordOf(id)?.seed ?? null,
  }));
  const reasons = reasonsAgainst({ rounds: states, buckets, audit, currency: event.currency });
  return { audit, control, seeds, reasons };
}

/** What was overruled. Throws NotArchived unless everything that speaks against it was. */
function judge(reasons: readonly Reason[], force: boolean): string[] {
  const standing = reasons.filter(({ canForce }) => !force || !canForce);
  if (standing.length === 0) {
    for (const { what } of reasons) say(`overruled: ${what}`);
    return reasons.map(({ what }) => what);
  }
  for (const { what, mend } of standing) say(`${what}: ${mend}`);
  const help = standing.every(({ canForce }) => canForce) ? '; --force --why "…" overrules that' : "";
  throw new NotArchived(
    `nothing was archived: ${standing.map(({ what }) => what).join("; ")}${help}`,
    reasons,
  );
}

/** An archive that is there, for a run that goes on after its upload was broken off. Throws BadInput when it is of before. */
async function sameAgain(
  out: string,
  { audit, seeds }: Facts,
): Promise<{ manifest: ArchiveManifest; digest: string }> {
  const [told, sown] = [AUDIT, SEEDS].map((name) => readFileSync(join(out, name), "utf8"));
  const isSame =
    JSON.stringify(JSON.parse(told!)) === JSON.stringify(audit) &&
    JSON.stringify(JSON.parse(sown!)) === JSON.stringify({ seeds });
  if (!isSame)
    throw new BadInput(
      `--out: found an older archive in ${out}, and things have changed since; expected a new directory`,
    );
  const verdict = await verifyArchive(out);
  if (!verdict.ok)
    throw new BadInput(
      `--out: found an archive in ${out} that is not what was written (${[...verdict.damage, ...verdict.findings].slice(0, 1).join("")}); expected a new directory`,
    );
  say(`${out} is there and whole, and nothing has changed since.`);
  return verdict;
}

/** For the cluster's own log; an archive is whole without it. */
async function note(
  where: Where,
  {
    by,
    why,
    out,
    digest,
    forced,
  }: { by: string; why: string; out: string; digest: string; forced: string[] },
): Promise<void> {
  const overruled = forced.length === 0 ? "" : `, although ${forced.join("; ")}`;
  const what = `archived the event to ${out} (SHA-256 ${digest})${overruled}`.slice(0, 1000);
  try {
    await openControllers(where).post("/admin/log", { by, why, what });
  } catch (error) {
    if (!(error instanceof Unreachable)) throw error;
    say(`not in the log, because no controller answers: ${what}`);
  }
}

function tellMade(out: string, { manifest, digest, uploaded }: Made, json: boolean): void {
  const { id, files, totals, event, forced, findings } = manifest;
  const bytes = files.reduce((sum, file) => sum + file.bytes, 0);
  const rows = files.reduce((sum, file) => sum + (file.rows ?? 0), 0);
  if (json)
    return printJson({
      ok: true,
      archive: out,
      uploaded,
      id,
      digest,
      files: files.length,
      rows,
      bytes,
      totals,
      forced,
      findings,
    });
  print(
    `archived ${event.id}: ${files.length} files, ${rows} rows, ${(bytes / 1e6).toFixed(1)} MB in ${out}`,
  );
  if (uploaded !== null) print(`uploaded to ${uploaded}; the marker says so, "terraform destroy" may go on`);
  print(
    `${totals.claimed.count} prizes were won, ${totals.paid.count} paid (${formatMoney(totals.paid.amount)} ${event.currency})`,
  );
  if (totals.held.count > 0) print(`${totals.held.count} are held, because an operator denied the users`);
  print(
    `SHA-256 ${digest}: write it down elsewhere; "hongbao archive --verify ${out} --digest …" asks for it`,
  );
}
