/** `hongbao user allow|deny|list`. */
import { setTimeout as sleep } from "node:timers/promises";
import { BadInput, bucketOf, confirmAct, isUserId, print, printJson, say, table } from "@hongbao/preprocess";
import { z } from "zod";
import { openControllers, type Controllers, type Where } from "./controllers.ts";
import { byDefault } from "./round.ts";

export interface UserListOptions extends Where {
  round?: string;
  json?: boolean;
}

export interface UserOptions extends UserListOptions {
  by?: string;
  why?: string;
}

const CONFIRM_MS_MAX = 3_000;
const CONFIRM_POLL_MS = 50;

const usersSchema = z.object({
  v: z.number(),
  rules: z.array(z.object({ user: z.string(), round: z.number(), rule: z.enum(["allow", "deny"]) })),
  processes: z.array(z.object({ bucket: z.string(), id: z.string(), v: z.number().nullable() })),
});
type Users = z.infer<typeof usersSchema>;

async function readUsers(controllers: Controllers): Promise<Users> {
  return usersSchema.parse(await controllers.get("/admin/users"));
}

/** Says what it acts on, orders it, and waits until every process that answers obeys it. */
export async function runUserAction(
  rule: "allow" | "deny",
  user: string,
  options: UserOptions,
): Promise<void> {
  checkUser(user);
  const round = readRound(options.round);
  const controllers = openControllers(options);
  const { event, rounds } = await controllers.state();
  if (round !== 0 && !rounds.some((each) => each.round === round)) {
    const known = rounds.map((each) => each.round).join(", ");
    throw new BadInput(`--round: found ${round}, expected one of ${known}`);
  }
  const bucket = controllers.topology.buckets[bucketOf(controllers.topology, user)]!.id;
  const where = round === 0 ? "every round" : `round ${round}`;
  const will = {
    deny: `Will deny user ${user} (bucket ${bucket}) in ${where}: no grabs, and what is not paid yet is held.`,
    allow: `Will allow user ${user} (bucket ${bucket}) in ${where}: may take part, and what is held is paid.`,
  }[rule];
  await confirmAct({ what: [`Topology ${controllers.topology.path}, event ${event}`, will] });
  const ordered = z.object({ v: z.number() }).parse(
    await controllers.post("/admin/users", {
      user,
      rule,
      ...(round === 0 ? {} : { round }),
      by: options.by ?? byDefault(),
      why: options.why ?? "",
    }),
  );
  const { processes } = await confirmed(controllers, ordered.v);
  const live = processes.filter(({ v }) => v !== null && v >= ordered.v);
  const behind = processes.filter((process) => !live.includes(process));
  if (options.json) {
    return printJson({
      user,
      bucket,
      rule,
      ...(round === 0 ? {} : { round }),
      v: ordered.v,
      live: live.length,
      behind: behind.map(({ bucket: of, id }) => `${of}/${id}`),
    });
  }
  print(`user ${user}: ${rule} in ${where}, live in ${live.length} of ${processes.length} processes`);
  if (behind.length > 0) {
    say(
      `not yet in ${behind.map((each) => `${each.bucket}/${each.id}`).join(", ")}: they are told as soon as they answer`,
    );
  }
}

function checkUser(user: string): void {
  if (isUserId(user)) return;
  throw new BadInput(`user: found "${user}", expected 1 to 64 of A-Z a-z 0-9 . _ -`);
}

/** 0 is every round. */
function readRound(text: string | undefined): number {
  if (text === undefined) return 0;
  if (/^[1-9]\d?$/.test(text)) return Number(text);
  throw new BadInput(`--round: found "${text}", expected a round's number, 1 to 99`);
}

/** Waits, bounded, until every process that answers obeys the version. */
async function confirmed(controllers: Controllers, wanted: number): Promise<Users> {
  const end = performance.now() + CONFIRM_MS_MAX;
  for (;;) {
    const users = await readUsers(controllers);
    const isDone = users.processes.every(({ v }) => v !== null && v >= wanted);
    if (isDone || performance.now() >= end) return users;
    await sleep(CONFIRM_POLL_MS);
  }
}

/** `hongbao user list [ID]`. */
export async function runUserList(user: string | undefined, options: UserListOptions): Promise<void> {
  if (user !== undefined) checkUser(user);
  const round = readRound(options.round);
  const controllers = openControllers(options);
  const { rules } = await readUsers(controllers);
  const shown = rules
    .filter(
      (rule) =>
        (user === undefined || rule.user === user) && (round === 0 || [0, round].includes(rule.round)),
    )
    .map((rule) => ({
      user: rule.user,
      bucket: controllers.topology.buckets[bucketOf(controllers.topology, rule.user)]!.id,
      ...(rule.round === 0 ? {} : { round: rule.round }),
      rule: rule.rule,
    }));
  if (options.json) return printJson({ rules: shown });
  if (shown.length === 0) return print("nothing was said of single users: the event's user list counts");
  const rows = shown.map((rule) => [
    rule.user,
    rule.bucket,
    rule.round === undefined ? "all" : String(rule.round),
    rule.rule,
  ]);
  print(table([["user", "bucket", "round", "rule"], ...rows]));
}
