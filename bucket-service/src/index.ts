/** What the balancer may use of a bucket. */
export {
  adminClient,
  type AdminClient,
  type AdminRound,
  type AdminState,
  type PutRoundResult,
  type RoundRecord,
} from "./admin/client.ts";
export {
  rebuildClient,
  type RebuildClient,
  type RebuildOrder,
  type RebuildPreview,
} from "./admin/rebuild-client.ts";
export { RECEIPTS_MAX, type ReceiptAnswer } from "./receipts/desk.ts";
export type { RebuildReport } from "./rebuild/rebuild.ts";
export type { RoundBurn } from "./rebuild/stock.ts";
export { auditBucket, type BucketAudit, type RoundAudit, type Sum, type Violation } from "./audit/audit.ts";
export { answerTable, type AnswerWord } from "./grab/answers.ts";
export { STOCK_HEADER, SECOND_PASS_HEADER } from "./doors/http.ts";
export { AdminError, adminServer, readJson, type AdminParts } from "./admin/server.ts";
/** What HAProxy's configuration and the SPOP door must agree on. */
export { spopPolicy } from "./doors/spop/agent.ts";
export { VARIABLES as SPOP_VARIABLES } from "./doors/spop/ack.ts";
export { GRAB_ARGUMENTS, GRAB_MESSAGE } from "./doors/spop/notify.ts";
