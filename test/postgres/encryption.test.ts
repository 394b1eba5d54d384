import { spawnSync } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sql } from "drizzle-orm";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createPool, withConnection } from "../../src/postgres/connect.ts";
import { Leader } from "../../src/postgres/leader.ts";
import { Trouble } from "../../src/trouble.ts";
import { type Certificate, createAuthority, hasOpenssl, issueCertificate } from "../support/certificates.ts";
import { MirrorProcess } from "../support/mirror-process.ts";
import { OwnPostgres } from "../support/own-postgres.ts";

if (!hasOpenssl()) console.log("skipped, for want of openssl: the tests of TLS to Postgres");

describe.skipIf(!hasOpenssl())("TLS", () => {
  let folder = "";
  let server: OwnPostgres;
  let authority: Certificate;
  let other: Certificate;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "mirror-tls-"));
    authority = createAuthority(folder, "authority");
    other = createAuthority(folder, "other");
    const certificate = issueCertificate(folder, authority, "localhost");
    issueCertificate(folder, authority, "by_certificate");
    server = await OwnPostgres.start();
    await server.put("server.crt", await readFile(certificate.crt));
    await server.put("server.key", await readFile(certificate.key));
    await server.put("root.crt", await readFile(authority.crt));
    await server.query(`
      create role tls_only login password 'secret';
      create role plain_only login password 'secret';
      create role by_certificate login`);
    await server.configure({ ssl_ca_file: "root.crt", ssl: "on" });
    await server.admit([
      "hostssl all tls_only 127.0.0.1/32 scram-sha-256",
      "hostnossl all plain_only 127.0.0.1/32 scram-sha-256",
      "hostssl all by_certificate 127.0.0.1/32 cert",
      "host all postgres 127.0.0.1/32 scram-sha-256",
    ]);
  });
  afterAll(async () => {
    await server?.[Symbol.asyncDispose]();
    await rm(folder, { recursive: true });
  });

  const IS_ENCRYPTED = "select ssl from pg_stat_ssl where pid = pg_backend_pid()";

  /** Whether a connection comes about, and is encrypted; or what is said against it. */
  async function outcomeAt(url: string): Promise<"encrypted" | "plain" | Trouble> {
    const pool = createPool({ url, applicationName: "test" });
    try {
      const result = await withConnection(pool, (database) =>
        database.execute<{ ssl: boolean }>(sql.raw(IS_ENCRYPTED)),
      );
      return result.rows[0]?.ssl ? "encrypted" : "plain";
    } catch (error) {
      if (error instanceof Trouble) return error;
      throw error;
    } finally {
      await pool.end();
    }
  }

  /** What psql makes of the same URL; undefined where there is no psql. */
  function outcomeOfPsql(url: string): string | undefined {
    const env = { PATH: process.env.PATH, HOME: folder };
    const asked = spawnSync("psql", [url, "--no-psqlrc", "-w", "-Atc", IS_ENCRYPTED], { encoding: "utf8", env });
    if (asked.error !== undefined) return undefined;
    return asked.status === 0 ? (asked.stdout.trim() === "t" ? "encrypted" : "plain") : "refused";
  }

  const search = (parameters: Record<string, string>) =>
    Object.entries(parameters)
      .map(([name, value]) => `${name}=${encodeURIComponent(value)}`)
      .join("&");

  const connect = (role: string, hostname: string, parameters: Record<string, string>) =>
    server.urlOf({
      ...(role === "postgres" ? {} : { username: role, password: role === "by_certificate" ? "" : "secret" }),
      hostname,
      search: search(parameters),
    });

  const untrusted =
    "the file of sslrootcert (PGSSLROOTCERT) has to hold the certificate authority that signed the server's certificate";
  const wrongHost =
    "connect to a host name that the server's certificate holds, or do without that check: sslmode=verify-ca";
  const notAdmitted =
    "check the user, sslmode and the server's pg_hba.conf, which says who may come from where and how";

  test.each<[role: string, hostname: string, sslmode: string | undefined, root: string, outcome: string]>([
    ["postgres", "localhost", undefined, "none", "encrypted"],
    ["plain_only", "localhost", undefined, "none", "plain"],
    ["postgres", "localhost", "disable", "none", "plain"],
    ["tls_only", "localhost", "disable", "none", notAdmitted],
    ["postgres", "localhost", "allow", "none", "plain"],
    ["tls_only", "localhost", "allow", "none", "encrypted"],
    ["postgres", "localhost", "prefer", "none", "encrypted"],
    ["plain_only", "localhost", "prefer", "none", "plain"],
    ["postgres", "localhost", "prefer", "other", "plain"],
    ["tls_only", "localhost", "prefer", "other", notAdmitted],
    ["postgres", "127.0.0.1", "require", "none", "encrypted"],
    ["plain_only", "localhost", "require", "none", notAdmitted],
    ["postgres", "127.0.0.1", "require", "authority", "encrypted"],
    ["postgres", "localhost", "require", "other", untrusted],
    ["postgres", "127.0.0.1", "verify-ca", "authority", "encrypted"],
    ["postgres", "localhost", "verify-ca", "other", untrusted],
    ["postgres", "localhost", "verify-full", "authority", "encrypted"],
    ["postgres", "127.0.0.1", "verify-full", "authority", wrongHost],
    ["postgres", "localhost", "verify-full", "other", untrusted],
  ])("%s at %s with sslmode=%s and the root certificate %s: %s", async (role, hostname, sslmode, root, expected) => {
    const url = connect(role, hostname, {
      ...(sslmode === undefined ? {} : { sslmode }),
      ...(root === "none" ? {} : { sslrootcert: join(folder, `${root}.crt`) }),
    });
    const outcome = await outcomeAt(url);
    if (outcome instanceof Trouble) {
      expect(outcome).toMatchObject({ kind: "refused", code: "postgres_refused", hint: expected });
    } else {
      expect(outcome).toBe(expected);
    }
    expect([outcomeOfPsql(url), undefined]).toContain(outcome instanceof Trouble ? "refused" : outcome);
  });

  test("says of a wrong certificate what is wrong with it", async () => {
    const wrongRoot = { sslmode: "verify-ca", sslrootcert: other.crt };
    expect(await outcomeAt(connect("postgres", "localhost", wrongRoot))).toMatchObject({
      message: expect.stringMatching(/^Postgres: the server's certificate is refused: (unable to|self-signed)/),
    });
    const wrongName = { sslmode: "verify-full", sslrootcert: authority.crt };
    expect(await outcomeAt(connect("postgres", "127.0.0.1", wrongName))).toMatchObject({
      message: expect.stringMatching(
        /^Postgres: the server's certificate is refused: Hostname\/IP does not match certificate's altnames: IP: 127/,
      ),
    });
  });

  test("a role may come with a certificate instead of a password", async () => {
    const files = { sslcert: join(folder, "by_certificate.crt"), sslkey: join(folder, "by_certificate.key") };
    const url = connect("by_certificate", "localhost", { sslmode: "require", ...files });
    expect(await outcomeAt(url)).toBe("encrypted");
    expect([outcomeOfPsql(url), undefined]).toContain("encrypted");
    const without = connect("by_certificate", "localhost", { sslmode: "require" });
    expect(await outcomeAt(without)).toMatchObject({ kind: "refused", hint: notAdmitted });
  });

  test("channel binding is used when it is asked for", async () => {
    const url = connect("tls_only", "localhost", { sslmode: "require", channel_binding: "require" });
    expect(await outcomeAt(url)).toBe("encrypted");
  });

  test("a certificate that is renewed is read again, and one that is gone is refused", async () => {
    const renewed = join(folder, "renewed.crt");
    await writeFile(renewed, await readFile(other.crt));
    const url = connect("postgres", "localhost", { sslmode: "verify-full", sslrootcert: renewed });
    const pool = createPool({ url, applicationName: "test" });
    const connected = () => withConnection(pool, async () => "connected");
    await expect(connected()).rejects.toMatchObject({ hint: untrusted });
    await writeFile(renewed, await readFile(authority.crt));
    expect(await connected()).toBe("connected");
    await pool.end();

    const leader = new Leader({ url, applicationName: "test" }, "renewed");
    await rm(renewed);
    await expect(leader.hold()).rejects.toMatchObject({ kind: "refused", code: "postgres_refused" });
  });

  test("the connection that holds the lock is encrypted as well", async () => {
    const url = connect("tls_only", "localhost", { sslmode: "verify-full", sslrootcert: authority.crt });
    const leader = new Leader({ url, applicationName: "test" }, "encrypted");
    expect(await leader.hold()).toBe(true);
    await leader.release();
  });

  test("system trusts who is publicly trusted, and whom this machine trusts besides", async () => {
    const url = connect("tls_only", "localhost", { sslrootcert: "system" });
    expect(await outcomeAt(url)).toMatchObject({ kind: "refused", hint: untrusted });
    await using check = new MirrorProcess(["check"], {
      DATABASE_URL: url,
      WORKOS_API_KEY: "sk_test_1",
      WORKOS_BASE_URL: "http://127.0.0.1:1",
      NODE_EXTRA_CA_CERTS: authority.crt,
    });
    await check.exit;
    expect(check.stdout).toMatch(/^ok +database +PostgreSQL/);
  });

  test("a server without TLS is refused where TLS is required, and served in the clear where it is preferred", async () => {
    await server.configure({ ssl: "off" });
    try {
      expect(await outcomeAt(connect("postgres", "localhost", {}))).toBe("plain");
      const required = connect("postgres", "localhost", { sslmode: "require" });
      expect(await outcomeAt(required)).toMatchObject({
        kind: "refused",
        message: "Postgres: The server does not support SSL connections",
        hint: "turn ssl on in the server, or do without encryption: sslmode=prefer",
      });
    } finally {
      await server.configure({ ssl: "on" });
    }
  });

  test("a server that turns TLS off is followed by connections that are made at the same time", async () => {
    const pool = createPool({ url: connect("postgres", "localhost", {}), applicationName: "test" });
    const outcomes = async () => {
      const asked = [1, 2, 3].map(() =>
        withConnection(pool, (database) => database.execute<{ ssl: boolean }>(sql.raw(`${IS_ENCRYPTED} and true`))),
      );
      return (await Promise.all(asked)).map(({ rows }) => rows[0]?.ssl);
    };
    const cut = "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'test'";
    try {
      expect(await outcomes()).toEqual([true, true, true]);
      await server.configure({ ssl: "off" });
      await server.query(cut);
      await expect.poll(() => pool.idleCount).toBe(0);
      expect(await outcomes()).toEqual([false, false, false]);
    } finally {
      await server.configure({ ssl: "on" });
      await pool.end();
    }
  });
});
