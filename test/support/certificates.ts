import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";

/** Paths of a certificate and its key, in PEM form. */
export interface Certificate {
  crt: string;
  key: string;
}

export function hasOpenssl(): boolean {
  return spawnSync("openssl", ["version"]).status === 0;
}

const NEW_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];

/** A certificate authority of its own. */
export function createAuthority(folder: string, name: string): Certificate {
  const [crt, key] = [join(folder, `${name}.crt`), join(folder, `${name}.key`)];
  openssl(["req", "-x509", ...NEW_KEY, "-days", "2", "-subj", `/CN=${name}`, "-keyout", key, "-out", crt]);
  return { crt, key };
}

/** A certificate for a host, or for a role that comes with it. */
export function issueCertificate(folder: string, authority: Certificate, name: string): Certificate {
  const path = (ending: string) => join(folder, `${name}.${ending}`);
  openssl(["req", "-new", ...NEW_KEY, "-subj", `/CN=${name}`, "-keyout", path("key"), "-out", path("csr")]);
  writeFileSync(path("ext"), `subjectAltName=DNS:${name}\n`);
  const signed = ["-CA", authority.crt, "-CAkey", authority.key, "-CAcreateserial", "-extfile", path("ext")];
  openssl(["x509", "-req", "-in", path("csr"), "-days", "2", ...signed, "-out", path("crt")]);
  return { crt: path("crt"), key: path("key") };
}

function openssl(args: string[]): void {
  const { status, stderr } = spawnSync("openssl", args, { encoding: "utf8" });
  if (status !== 0) throw new Error(`openssl ${args[0]}: ${stderr}`);
}
