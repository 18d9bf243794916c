/** What may be used of the balancer from outside. */
export { type ControlRecord, type ControlStore, type PutCondition, storeUnder } from "./control/store.ts";
export { openControlStore } from "./control/open.ts";
export { render, type RenderOptions, type RoundRules } from "./haproxy/render.ts";
export { startBalancer, type RunningBalancer, type RunOptions } from "./haproxy/run.ts";
export { startController, type ControllerOptions } from "./conductor/run.ts";
export { eventStore, Records, type LogEntry, type RoundRecord } from "./conductor/records.ts";
export { readStatus, type StatusReport } from "./operate/status.ts";
export { sumAudits, type AuditReport } from "./operate/audit.ts";
