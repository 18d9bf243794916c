/** Where a test's alerts end: a webhook and a mail server, both tiny, both on loopback. */
import { createServer as createWeb, type Server as WebServer } from "node:http";
import { createServer as createNet, type AddressInfo, type Server } from "node:net";
import type { Teardown } from "../../src/temporary.ts";

export interface WebhookMessage {
  status: "firing" | "resolved";
  alerts: { status: string; labels: Record<string, string>; annotations: Record<string, string> }[];
}

async function listen(t: Teardown, server: Server | WebServer): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.teardown(() => void server.close());
  return (server.address() as AddressInfo).port;
}

export async function webhookSink(t: Teardown): Promise<{ url: string; messages: WebhookMessage[] }> {
  const messages: WebhookMessage[] = [];
  const server = createWeb((request, response) => {
    let text = "";
    request.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
    request.on("end", () => {
      messages.push(JSON.parse(text) as WebhookMessage);
      response.end();
    });
  });
  t.teardown(() => server.closeAllConnections());
  return { url: `http://127.0.0.1:${await listen(t, server)}/`, messages };
}

/** Speaks as much SMTP as a client needs to leave a mail; keeps each mail's text. */
export async function mailSink(t: Teardown): Promise<{ address: string; mails: string[] }> {
  const mails: string[] = [];
  const server = createNet((socket) => {
    let waiting = "";
    let mail: string[] | null = null;
    const say = (line: string): void => void socket.write(`${line}\r\n`);
    const take = (line: string): void => {
      if (mail !== null) {
        if (line !== ".") return void mail.push(line);
        mails.push(mail.join("\n"));
        mail = null;
        return say("250 kept");
      }
      const word = line.slice(0, 4).toUpperCase();
      if (word === "EHLO" || word === "HELO") say("250 sink");
      else if (word === "DATA") {
        mail = [];
        say("354 go on");
      } else if (word === "QUIT") socket.end("221 bye\r\n");
      else say("250 ok");
    };
    socket.setEncoding("utf8").on("data", (chunk: string) => {
      const lines = (waiting + chunk).split("\r\n");
      waiting = lines.pop()!;
      for (const line of lines) take(line);
    });
    socket.on("error", () => undefined);
    say("220 sink");
  });
  return { address: `127.0.0.1:${await listen(t, server)}`, mails };
}
