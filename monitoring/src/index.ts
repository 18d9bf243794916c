/** The ground floor: logs and metrics in one form for all processes. */
export * from "./catalogue.ts";
export * from "./logger.ts";
export * from "./registry.ts";
export * from "./document.ts";
export * from "./alertmanager.ts";
export * from "./prometheus.ts";
