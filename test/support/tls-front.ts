import { execFile, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { type AddressInfo, connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createServer } from "node:tls";
import { promisify } from "node:util";

/** Of the system, not of the registry: where it is missing, there are no certificates. */
const program = "openssl";
export const canMakeCertificates = spawnSync(program, ["version"]).status === 0;
const run = promisify(execFile);

/** What a certificate may be like, for a server that is asked as `localhost`. */
export type CertificateKind = "good" | "expired" | "of another host" | "of an unknown authority";

/** An HTTPS server before an HTTP one, whose certificate may be changed while it runs. */
export interface TlsFront extends AsyncDisposable {
  url: string;
  /** The file that a client has to trust. */
  authority: string;
  present(kind: CertificateKind): Promise<void>;
}

/** `port` is that of the HTTP server on 127.0.0.1. The certificates are made by the program openssl. */
export async function startTlsFront(port: number, first: CertificateKind): Promise<TlsFront> {
  const folder = await mkdtemp(join(tmpdir(), "mirror-tls-"));
  const maker = new CertificateMaker(folder);
  await maker.makeAuthority("authority");
  await maker.makeAuthority("stranger");
  const sockets = new Set<Socket>();
  const server = createServer(await maker.make(first), (socket) => {
    const inner = connect(port, "127.0.0.1");
    for (const end of [socket, inner]) end.on("error", () => undefined);
    socket.on("close", () => inner.destroy());
    inner.on("close", () => socket.destroy());
    socket.pipe(inner).pipe(socket);
  });
  // those included that are still shaking hands, over the certificate before
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
  });
  server.on("tlsClientError", () => undefined);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `https://localhost:${(server.address() as AddressInfo).port}`,
    authority: join(folder, "authority.pem"),
    present: async (kind) => {
      server.setSecureContext(await maker.make(kind));
      for (const socket of sockets) socket.destroy();
    },
    [Symbol.asyncDispose]: async () => {
      const closed = once(server, "close");
      server.close();
      for (const socket of sockets) socket.destroy();
      await closed;
      await rm(folder, { recursive: true });
    },
  };
}

const newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];

class CertificateMaker {
  readonly #folder: string;
  #made = 0;

  constructor(folder: string) {
    this.#folder = folder;
  }

  async makeAuthority(name: string): Promise<void> {
    const files = ["-keyout", this.#path(`${name}.key`), "-out", this.#path(`${name}.pem`)];
    await run(program, ["req", "-x509", ...newKey, ...files, "-subj", `/CN=Test ${name}`, "-days", "2"]);
  }

  async make(kind: CertificateKind): Promise<{ key: Buffer; cert: Buffer }> {
    this.#made += 1;
    const [key, request, cert] = ["key", "csr", "pem"].map((ending) => this.#path(`${this.#made}.${ending}`));
    if (key === undefined || request === undefined || cert === undefined) throw new Error("three names");
    const host = kind === "of another host" ? "elsewhere.example" : "localhost";
    const subject = ["-subj", `/CN=${host}`, "-addext", `subjectAltName=DNS:${host}`];
    await run(program, ["req", ...newKey, "-keyout", key, "-out", request, ...subject]);
    const signer = this.#path(kind === "of an unknown authority" ? "stranger" : "authority");
    const signing = ["-CA", `${signer}.pem`, "-CAkey", `${signer}.key`, "-CAcreateserial", "-copy_extensions", "copy"];
    const days = kind === "expired" ? "-1" : "1";
    await run(program, ["x509", "-req", "-in", request, ...signing, "-days", days, "-out", cert]);
    return { key: await readFile(key), cert: await readFile(cert) };
  }

  #path(name: string): string {
    return join(this.#folder, name);
  }
}
