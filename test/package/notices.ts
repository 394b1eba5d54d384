import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

export interface Bundled {
  name: string;
  version: string;
  license: string;
  author: string;
  text: string;
}

/** The packages of which esbuild put something into the bundle, by the inputs that its metafile names. */
export function packagesOf(inputs: readonly string[], root: string): Bundled[] {
  const folders = inputs.flatMap((input) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(input)?.[0] ?? []);
  return [...new Set(folders)]
    .map((folder) => describe(join(root, folder)))
    .sort((one, other) => (keyOf(one) < keyOf(other) ? -1 : 1));
}

const keyOf = ({ name, version }: Bundled) => `${name} ${version}`;

function describe(folder: string): Bundled {
  const { name, version, license, author } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  const files = readdirSync(folder).filter((file) => /^(licen[cs]e|copying|notice)/i.test(file));
  const texts = files.map((file) => readFileSync(join(folder, file), "utf8"));
  return { name, version, license, author: author?.name ?? author, text: texts.join("\n") || ofReadme(folder) };
}

/** Some packages keep their license at the end of their README. */
function ofReadme(folder: string): string {
  const [, section = ""] = /^#+ *licen[cs]e\s*\n(.*)/ims.exec(readFileSync(join(folder, "README.md"), "utf8")) ?? [];
  return section.includes("Copyright") ? section : "";
}

/** What MIT, ISC, BSD and Apache 2.0 ask of who passes the code on: their texts, with the copyright lines. */
export function writeNotices(packages: readonly Bundled[]): string {
  const entries = packages.map(({ name, version, license, author, text }) => {
    const title = `${name} ${version} (${license})`;
    const body = text
      .replace(/\r\n/g, "\n")
      .replace(/[ \t]+$/gm, "")
      .trim();
    return `${title}\n\n${body || `By ${author}, under the license whose text stands with other packages here.`}\n`;
  });
  const line = `${"-".repeat(80)}\n\n`;
  return `workos-events-mirror contains these packages of others.\n\n${line}${entries.join(`\n${line}`)}`;
}
