import { chmod, mkdir, writeFile } from "node:fs/promises";
import * as path from "node:path";

import { build } from "esbuild";

import { type Log, withProgress } from "../process";

const sources = ["build.ts", "import-requests.ts", "main.ts", "provider.ts", "record.ts", "schema.ts", "wire.ts"];
const root = path.join(__dirname, "..", "..");

/** Files whose change makes another plugin, for cache keys: its sources and the libraries that are bundled. */
export const CLOUDFLARE_SOURCES: readonly string[] = [
  ...sources.map((file) => path.join(__dirname, file)),
  ...["cloudflare", "@pulumi/pulumi", "esbuild"].map((name) => path.join(root, "node_modules", name, "package.json")),
];

/** The engine starts `pulumi-resource-<name>`; Node comes from PATH, as for the language host. */
const LAUNCHER = `#!/bin/sh
exec node "$(dirname "$(readlink -f "$0")")/plugin.js" "$@"
`;

/** Bundles the plugin into `dir`, which is then a plugin directory for Pulumi: a launcher and one JavaScript file. */
export async function buildCloudflarePlugin(dir: string, log: Log): Promise<void> {
  await withProgress(log, "bundling the Cloudflare plugin", async () => {
    await mkdir(dir, { recursive: true });
    await build({
      entryPoints: [path.join(__dirname, "main.ts")],
      outfile: path.join(dir, "plugin.js"),
      bundle: true,
      platform: "node",
      target: "node20",
      format: "cjs",
      minify: true,
      keepNames: true, // error classes are told apart by name
      logLevel: "silent", // a failed build throws with the messages
    });
    const launcher = path.join(dir, "pulumi-resource-cloudflare");
    await writeFile(launcher, LAUNCHER);
    await chmod(launcher, 0o755);
  });
}
