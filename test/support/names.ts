import dns from "node:dns";
import { existsSync } from "node:fs";
import { syncBuiltinESMExports } from "node:module";

// Loaded into a mirror: db.test is this machine for as long as the file exists that NAMES_FILE names.

const lookup = dns.lookup;

function lookupOfTests(
  name: string,
  options: dns.LookupOptions,
  callback: (error: Error | null, ...answer: unknown[]) => void,
) {
  if (name !== "db.test") return lookup(name, options, callback);
  if (!existsSync(process.env.NAMES_FILE ?? "")) {
    const error = Object.assign(new Error(`getaddrinfo ENOTFOUND ${name}`), {
      code: "ENOTFOUND",
      syscall: "getaddrinfo",
    });
    return void setImmediate(callback, error);
  }
  return lookup("127.0.0.1", options, callback);
}

Object.assign(dns, { lookup: lookupOfTests });
syncBuiltinESMExports();
