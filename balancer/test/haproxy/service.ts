/** A service in a process of its own, to be killed; see faults.test.ts. */
import { createServer } from "node:http";
import { listenOn } from "../../src/listen.ts";
import { answerJson } from "./harness.ts";

const [http = "", admin = ""] = process.argv.slice(2);
await listenOn(
  createServer({ keepAliveTimeout: 60_000 }, (_request, response) => {
    // A while, so that there are always requests under way when the kill comes.
    setTimeout(() => answerJson(response, 200, { service: "forked" }), 5);
  }),
  http,
);
await listenOn(
  createServer((_request, response) => void response.end()),
  admin,
);
process.send?.("ready");
