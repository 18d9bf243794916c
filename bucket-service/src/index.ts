/** What the balancer may use of a bucket. */
export {
  adminClient,
  type AdminClient,
  type AdminParts,
  type AdminRound,
  type AdminState,
  type MoveAnswer,
  type PutRoundResult,
  type RoundRecord,
} from "./admin/client.ts";
export {
  askWhy,
  payoutClient,
  switchesClient,
  usersClient,
  type BucketPayouts,
  type PayoutClient,
  type SetClient,
  type SwitchesClient,
  type UsersClient,
} from "./admin/money-client.ts";
export type { ExportRow } from "./payout/admin.ts";
export type { LedgerFigures, PayoutFigures, PayoutSum } from "./payout/figures.ts";
export type { Attempt } from "./grab/recent.ts";
export type { UserFacts, UserWin } from "./users/why.ts";
export { changeRules, NO_RULES, USER_RULES_MAX, type UserRule, type UserRuleSet } from "./users/rules.ts";
export {
  rebuildClient,
  type RebuildClient,
  type RebuildOrder,
  type RebuildPreview,
} from "./admin/rebuild-client.ts";
export { RECEIPTS_MAX, type ReceiptAnswer } from "./receipts/desk.ts";
export type { RebuildReport } from "./rebuild/rebuild.ts";
export type { RoundBurn } from "./rebuild/stock.ts";
export { loansOut, type AuditMove } from "./audit/moves.ts";
export { auditBucket, type BucketAudit, type RoundAudit, type Sum, type Violation } from "./audit/audit.ts";
export type { InOrder, OutOrder } from "./moves/mover.ts";
export type { MoveKind } from "./moves/note.ts";
export { balanceOf, countOf, runWith, worthOf, type Run } from "./moves/runs.ts";
export { bucketRest, exportBucket, type BucketRest, type Cell } from "./archive/export.ts";
export { ARCHIVE_TABLES, type ArchiveTable, type ColumnType } from "./archive/tables.ts";
export { IdSet } from "./audit/id-set.ts";
export { answerTable, type AnswerWord } from "./grab/answers.ts";
export { OFTEN_HEADER, STOCK_HEADER, SECOND_PASS_HEADER, WINDOW_HEADER } from "./doors/http.ts";
export { AdminError, adminServer, readJson } from "./admin/server.ts";
export { mysqlFacts, redisFacts, type MysqlFacts, type RedisFacts } from "./provision/store-facts.ts";
export { verifyPack, type VerifyReport } from "./provision/verify.ts";
export { ShadowLease, shadowPolicy } from "./shadow/lease.ts";
export { shadowRemains, type ShadowRemains } from "./shadow/wipe.ts";
export { loadPack } from "./provision/load.ts";
/** What HAProxy's configuration and the SPOP door must agree on. */
export { spopPolicy } from "./doors/spop/agent.ts";
export { VARIABLES as SPOP_VARIABLES } from "./doors/spop/ack.ts";
export { GRAB_ARGUMENTS, GRAB_MESSAGE } from "./doors/spop/notify.ts";
