import { connect, createServer, type Socket } from "node:net";
import t, { type Test } from "tap";
import { freePort, waitUntil } from "@hongbao/infra";
import { Link } from "../../chaos/stage/link.ts";

/** A link to a server that answers each piece with the same in capitals, and ends when it is told "bye". */
async function linked(t: Test): Promise<{ link: Link; open: () => Client }> {
  const server = createServer((socket) => {
    socket.on("error", () => undefined);
    socket.setEncoding("utf8").on("data", (text: string) => {
      if (text === "bye") socket.end("BYE");
      else socket.write(text.toUpperCase());
    });
  });
  const target = await freePort();
  await new Promise<void>((resolve) => server.listen({ host: "127.0.0.1", port: target }, resolve));
  const link = new Link(await freePort(), target);
  await link.start();
  const sockets: Socket[] = [];
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    link.stop();
    server.close();
  });
  const open = (): Client => {
    const client = new Client(connect({ host: "127.0.0.1", port: link.port }));
    sockets.push(client.socket);
    return client;
  };
  return { link, open };
}

class Client {
  readonly socket: Socket;
  heard = "";
  isClosed = false;

  constructor(socket: Socket) {
    this.socket = socket;
    socket.setEncoding("utf8").on("data", (text: string) => (this.heard += text));
    socket.on("error", () => undefined);
    socket.on("close", () => (this.isClosed = true));
  }

  hears(text: string): Promise<void> {
    return waitUntil(async () => this.heard === text, { what: text, timeoutMsMax: 5_000, intervalMs: 5 });
  }

  ends(): Promise<void> {
    return waitUntil(async () => this.isClosed, { what: "the end", timeoutMsMax: 5_000, intervalMs: 5 });
  }
}

t.test("open: bytes pass, and the last words before an end too", async (t) => {
  const { link, open } = await linked(t);
  const client = open();
  client.socket.write("a");
  await client.hears("A");
  client.socket.write("bye");
  await client.hears("ABYE");
  await client.ends();
  await waitUntil(async () => link.connections === 0, { what: "no connection", timeoutMsMax: 5_000 });
});

t.test("slow: everything comes, in order, later; also what was said before an end", async (t) => {
  const { link, open } = await linked(t);
  const client = open();
  link.set("slow", 60);
  const began = performance.now();
  for (const text of ["a", "b"]) client.socket.write(text);
  await client.hears("AB");
  t.ok(performance.now() - began >= 100, "there and back");
  client.socket.write("bye");
  await client.hears("ABBYE");
});

t.test("stall: nothing passes until it is over, then all of it", async (t) => {
  const { link, open } = await linked(t);
  const client = open();
  client.socket.write("a");
  await client.hears("A");
  link.set("stall");
  client.socket.write("b");
  await new Promise((resolve) => setTimeout(resolve, 100));
  t.equal(client.heard, "A");
  link.set("open");
  await client.hears("AB");
});

t.test("lose: the question arrives, the answer does not, and the connection ends", async (t) => {
  const { link, open } = await linked(t);
  const client = open();
  client.socket.write("a");
  await client.hears("A");
  link.set("lose");
  client.socket.write("b");
  await client.ends();
  t.equal(client.heard, "A");
});

t.test("cut: connections end, new ones are refused, and it is well again afterwards", async (t) => {
  const { link, open } = await linked(t);
  const [client, other] = [open(), open()];
  client.socket.write("a");
  await client.hears("A");
  link.set("cut");
  await client.ends();
  await other.ends();
  await open().ends();
  link.set("open");
  const again = open();
  again.socket.write("c");
  await again.hears("C");
});
