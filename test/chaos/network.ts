import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";

/** A connection as it is in the middle: the mirror's half, and the one to the server. */
interface Pair {
  client: Socket;
  server: Socket;
}

/** flow: passes everything on. black hole: nothing, either way. no answers: what the server says is lost. */
type Mode = "flow" | "black hole" | "no answers";

/** The network between a mirror and its Postgres, which can be cut in the ways that networks have. */
export class Network {
  readonly #target: number;
  readonly #listener: Server;
  readonly #pairs = new Set<Pair>();
  #mode: Mode = "flow";

  static async start(target: number): Promise<Network> {
    const network = new Network(target);
    network.#listener.listen(0, "127.0.0.1");
    await once(network.#listener, "listening");
    return network;
  }

  private constructor(target: number) {
    this.#target = target;
    this.#listener = createServer({ noDelay: true }, (client) => this.#take(client));
  }

  get port(): number {
    return (this.#listener.address() as AddressInfo).port;
  }

  /** Both ends of every connection are told at once that it is gone. */
  reset(): void {
    for (const { client, server } of this.#pairs) {
      client.resetAndDestroy();
      server.resetAndDestroy();
    }
    this.#pairs.clear();
    this.#mode = "flow";
  }

  /** Nobody is told anything: not that a packet is lost, nor that the other end is gone. */
  blackHole(): void {
    this.#enter("black hole");
  }

  /** The server does what it is asked to, commits included, and the mirror never hears of it. */
  swallowAnswers(): void {
    this.#enter("no answers");
  }

  /** What was held up arrives after all. What was swallowed is lost, so those connections are of no more use. */
  flow(): void {
    if (this.#mode === "no answers") this.reset();
    else this.#enter("flow");
  }

  async close(): Promise<void> {
    const closed = once(this.#listener, "close");
    this.#listener.close();
    this.reset();
    await closed;
  }

  #enter(mode: Mode): void {
    this.#mode = mode;
    for (const pair of this.#pairs) this.#join(pair);
  }

  #take(client: Socket): void {
    const server = connect({ port: this.#target, host: "127.0.0.1", noDelay: true });
    const pair = { client, server };
    this.#pairs.add(pair);
    this.#watch(pair, client, server);
    this.#watch(pair, server, client);
    this.#join(pair);
  }

  #watch(pair: Pair, one: Socket, other: Socket): void {
    one.on("error", () => undefined);
    one.on("close", () => {
      if (this.#mode === "black hole") return;
      this.#pairs.delete(pair);
      other.destroy();
    });
  }

  #join({ client, server }: Pair): void {
    client.unpipe();
    server.unpipe();
    server.removeAllListeners("data");
    if (this.#mode === "black hole") {
      client.pause();
      server.pause();
      return;
    }
    client.pipe(server);
    if (this.#mode === "flow") server.pipe(client);
    else server.on("data", () => undefined);
  }
}
