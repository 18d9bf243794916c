/**
 * The network load balancer in front of HAProxy, for a test: it hands each connection to one of its targets with the client's
 * address in a proxy-protocol header (version 2), and gives a target that drains no new connections, but leaves it those it has.
 */
import { connect, createServer, type Server, type Socket } from "node:net";

const SIGNATURE = Buffer.from([0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a]);

/** The header for a client of an IPv4 address. */
export function proxyHeader(client = "192.0.2.1", port = 12_345): Buffer {
  const address = (text: string): number[] => text.split(".").map(Number);
  const head = Buffer.from([0x21, 0x11, 0, 12, ...address(client), ...address("192.0.2.2"), 0, 0, 0, 0]);
  head.writeUInt16BE(port, 12);
  head.writeUInt16BE(443, 14);
  return Buffer.concat([SIGNATURE, head]);
}

interface Target {
  port: number;
  draining: boolean;
  /** Both ends of each connection, by the end at the target. */
  open: Map<Socket, Socket>;
}

export class Front {
  readonly #server: Server;
  readonly #targets: Target[] = [];
  #next = 0;
  /** Connections that no target took. */
  refused = 0;

  constructor() {
    this.#server = createServer({ noDelay: true }, (client) => this.#hand(client));
  }

  async listen(port: number): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen({ port, host: "127.0.0.1", backlog: 1024 }, resolve);
    });
  }

  add(port: number): void {
    this.#targets.push({ port, draining: false, open: new Map() });
  }

  drain(port: number): void {
    for (const target of this.#targets) if (target.port === port) target.draining = true;
  }

  /** Connections that a target has. */
  openOf(port: number): number {
    return this.#targets.find((target) => target.port === port)?.open.size ?? 0;
  }

  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const { open } of this.#targets)
      for (const [server, client] of open) for (const socket of [server, client]) socket.destroy();
    await closed;
  }

  #hand(client: Socket): void {
    const healthy = this.#targets.filter(({ draining }) => !draining);
    const target = healthy[this.#next++ % healthy.length];
    if (target === undefined) {
      client.destroy();
      return;
    }
    const server = connect({ port: target.port, host: "127.0.0.1", noDelay: true });
    target.open.set(server, client);
    server.write(proxyHeader("127.0.0.1", client.remotePort));
    // As they come and go: a half that was closed is told on, an error ends both. (To pass a reset on with resetAndDestroy can leave
    // a handle that Node then waits for at its exit, for ever.)
    client.pipe(server);
    server.pipe(client);
    server.once("error", () => {
      if (server.connecting || server.bytesRead === 0) this.refused += 1;
      client.destroy();
    });
    client.once("error", () => server.destroy());
    server.once("close", () => {
      target.open.delete(server);
      client.destroySoon();
    });
    client.once("close", () => server.destroySoon());
  }
}
