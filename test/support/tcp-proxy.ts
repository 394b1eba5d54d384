import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";

/** A way to a server, to be cut, blocked or turned elsewhere, as networks are. */
export class TcpProxy implements AsyncDisposable {
  readonly #server: Server;
  readonly #pairs = new Set<{ socket: Socket; onward: Socket }>();
  #target: URL;
  #isBlackHole = false;
  #last: Socket | undefined;

  static async start(target: string | URL): Promise<TcpProxy> {
    const proxy = new TcpProxy(new URL(target));
    proxy.#server.listen(0, "127.0.0.1");
    await once(proxy.#server, "listening");
    return proxy;
  }

  private constructor(target: URL) {
    this.#target = target;
    this.#server = createServer((socket) => this.#take(socket));
  }

  /** The target's, by way of this. */
  get url(): string {
    const address = this.#server.address();
    if (typeof address !== "object" || address === null) throw new Error("the proxy does not listen");
    return Object.assign(new URL(this.#target), { hostname: "127.0.0.1", port: String(address.port) }).href;
  }

  /** This side of the youngest connection. */
  get last(): Socket {
    if (this.#last === undefined) throw new Error("nobody has connected");
    return this.#last;
  }

  /** Where new connections lead from now on. */
  turnTo(target: string | URL): void {
    this.#target = new URL(target);
  }

  /** Nothing is forwarded any more, in either direction, and nothing is said of that; new connections get nowhere. */
  swallow(): void {
    this.#isBlackHole = true;
    for (const { socket, onward } of this.#pairs) for (const end of [socket, onward]) end.unpipe().pause();
  }

  /** Those that were swallowed stay so; new ones lead through. */
  recover(): void {
    this.#isBlackHole = false;
  }

  /** Ends every connection, on both sides. */
  cut(): void {
    for (const { socket, onward } of this.#pairs) for (const end of [socket, onward]) end.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cut();
    this.#server.close();
    await once(this.#server, "close");
  }

  #take(socket: Socket): void {
    this.#last = socket;
    const onward = connect(Number(this.#target.port || 5432), this.#target.hostname);
    const pair = { socket, onward };
    this.#pairs.add(pair);
    // An error is followed by a close, and on each side tells that the other has gone.
    socket.on("error", () => undefined).on("close", () => this.#isBlackHole || onward.destroy());
    onward.on("error", () => undefined).on("close", () => this.#isBlackHole || socket.destroy());
    if (!this.#isBlackHole) socket.pipe(onward).pipe(socket);
  }
}
