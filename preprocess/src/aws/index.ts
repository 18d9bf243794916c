export * from "./credentials.ts";
export * from "./sign.ts";
export * from "./s3.ts";
export * from "./cloud-map.ts";
export * from "./bring.ts";
export * from "./places.ts";
export * from "./account.ts";
