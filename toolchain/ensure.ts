import { copyFile, link, mkdir, readFile, writeFile } from "node:fs/promises";
import * as path from "node:path";

import { cacheDir, contentKey, ensureCached, type KeyPart } from "./cache";
import { CLOUDFLARE_SOURCES, buildCloudflarePlugin } from "./cloudflare/build";
import { buildGoPrograms, goSources } from "./go-build";
import { ensurePackages } from "./packages";
import { causeOf, type Log } from "./process";
import {
  checkVendorSite,
  downloadPulumi,
  findPulumi,
  type InstalledPulumi,
  installVendorPlugin,
  VENDOR_SITE,
} from "./vendor";
import { GO_PROGRAMS, PLUGINS, type PluginName, PULUMI_VERSION } from "./versions";

/** Where the programs lie that a Pulumi run needs. Both directories are shared and must not be written to. */
export interface Toolchain {
  /** Put first on PATH: `pulumi` and `pulumi-language-nodejs`. */
  binDir: string;
  /** Laid out as a PULUMI_HOME; link or copy its `plugins/` into a PULUMI_HOME of your own. */
  pulumiPluginsHome: string;
  /** Changes when any of the programs may have changed. */
  key: string;
}

/** What {@link ensureToolchain} is to do. */
export interface ToolchainArgs {
  /** Takes the progress lines. */
  log: Log;
  /** `pulumi`: CLI, language host, plugins. `packages`: Debian packages of the lab. Default: both. */
  what?: ("pulumi" | "packages")[];
}

/** How the parts were got; kept as `toolchain.json` in the assembled directory. */
export interface ToolchainOrigin {
  /** CLI and language host: on PATH already, downloaded, or built here. */
  pulumi: "installed" | "vendor" | "built";
  /** Each plugin: downloaded, or built here. */
  plugins: Record<PluginName, "vendor" | "built">;
}

/**
 * Gets the Pulumi CLI, its language host, the resource plugins and the system packages onto this machine, each in the
 * cheapest way that works here: what is installed, the vendor's download, a build from the published Go modules. What was
 * got stays in the cache, keyed by all inputs: a warm call takes well below a second. Two runs at once are safe. Throws an
 * error that names the step, the cause and what to do. Call it with `what: ["packages"]` where no Pulumi is needed.
 */
export async function ensureToolchain(args: ToolchainArgs): Promise<Toolchain> {
  const what = args.what ?? ["pulumi", "packages"];
  if (what.includes("packages")) await ensurePackages(args.log);
  const cache = path.join(cacheDir(), "toolchain");
  const installed = await findPulumi(cache);
  const key = await toolchainKey(installed);
  const dir = path.join(cache, key);
  if (what.includes("pulumi")) {
    await ensureCached(dir, args.log, (empty) => assemble(empty, installed, cache, args.log));
  }
  const binDir = installed?.binDir ?? path.join(dir, "bin");
  return { binDir, pulumiPluginsHome: path.join(dir, "home"), key };
}

async function toolchainKey(installed: InstalledPulumi | undefined): Promise<string> {
  const programs = Object.values(GO_PROGRAMS);
  const parts: KeyPart[] = [
    { text: JSON.stringify({ PULUMI_VERSION, PLUGINS, programs }) },
    { text: `${process.platform} ${process.arch}` },
    { text: LANGUAGE_HOST_LAUNCHER },
    { text: installed === undefined ? "no pulumi installed" : `${installed.binDir} ${installed.version}` },
    ...programs.map((program) => ({ path: goSources(program) })),
    ...CLOUDFLARE_SOURCES.map((file) => ({ path: file })),
  ];
  return contentKey(parts);
}

async function assemble(dir: string, installed: InstalledPulumi | undefined, cache: string, log: Log): Promise<void> {
  const bin = path.join(dir, "bin");
  const home = path.join(dir, "home");
  const plugins = path.join(home, "plugins");
  await mkdir(bin);
  await mkdir(plugins, { recursive: true });

  const vendor = await vendorPrograms(bin, home, installed, log);
  const missing = PLUGINS.filter((plugin) => !vendor.plugins.includes(plugin.name));
  const goNames: (keyof typeof GO_PROGRAMS)[] = [];
  if (!vendor.pulumi) goNames.push("pulumi", "pulumi-language-nodejs");
  for (const { name } of missing) if (name !== "cloudflare") goNames.push(`pulumi-resource-${name}`);

  const built = await build(goNames, cache, vendor.failures, log);
  for (const [name, file] of built) {
    const plugin = PLUGINS.find((pin) => name === `pulumi-resource-${pin.name}`);
    const target = plugin === undefined ? bin : path.join(plugins, `resource-${plugin.name}-v${plugin.version}`);
    await mkdir(target, { recursive: true });
    if (name === "pulumi-language-nodejs") await installLanguageHost(file, target);
    else await linkOrCopy(file, path.join(target, name));
  }
  const cloudflare = missing.find((plugin) => plugin.name === "cloudflare");
  if (cloudflare) {
    await buildCloudflarePlugin(path.join(plugins, `resource-cloudflare-v${cloudflare.version}`), log);
  }
  const originOfPlugin = (name: PluginName): "vendor" | "built" => (vendor.plugins.includes(name) ? "vendor" : "built");
  const origin: ToolchainOrigin = {
    pulumi: installed ? "installed" : vendor.pulumi ? "vendor" : "built",
    plugins: {
      proxmoxve: originOfPlugin("proxmoxve"),
      docker: originOfPlugin("docker"),
      cloudflare: originOfPlugin("cloudflare"),
    },
  };
  await writeFile(path.join(dir, "toolchain.json"), `${JSON.stringify(origin, undefined, 2)}\n`);
}

/** What came from the vendor, and why the rest did not. */
interface VendorResult {
  pulumi: boolean;
  plugins: PluginName[];
  failures: string[];
}

async function vendorPrograms(
  bin: string,
  home: string,
  installed: InstalledPulumi | undefined,
  log: Log,
): Promise<VendorResult> {
  const result: VendorResult = { pulumi: installed !== undefined, plugins: [], failures: [] };
  try {
    if (installed) await checkVendorSite();
    else await downloadPulumi(bin, log);
    result.pulumi = true;
  } catch (error) {
    result.failures.push(causeOf(error));
    log(
      `the vendor's downloads can't be used (${VENDOR_SITE}: ${causeOf(error)}); building from the published modules`,
    );
    return result;
  }
  for (const plugin of PLUGINS) {
    try {
      await installVendorPlugin(plugin, installed?.binDir ?? bin, home, log);
      result.plugins.push(plugin.name);
    } catch (error) {
      result.failures.push(causeOf(error));
      log(`the vendor's plugin ${plugin.name} can't be used (${causeOf(error)}); building it`);
    }
  }
  return result;
}

async function build(
  names: readonly (keyof typeof GO_PROGRAMS)[],
  cache: string,
  vendorFailures: readonly string[],
  log: Log,
): Promise<Map<string, string>> {
  if (names.length === 0) return new Map();
  try {
    return await buildGoPrograms(names, cache, log);
  } catch (error) {
    const downloads = vendorFailures.join("; ");
    throw new Error(
      `Unable to get ${names.join(", ")}. By download: ${downloads}. From the Go modules: ${causeOf(error)}\n` +
        `Make ${VENDOR_SITE} reachable, or install Pulumi ${PULUMI_VERSION} or newer, or make the build possible.`,
      { cause: error },
    );
  }
}

/**
 * The language host that can be built reads the runtime options from flags, which today's CLI no longer gives: it sends them
 * in a call that this host does not know. They must equal `runtime.options` of Pulumi.yaml.
 */
const LANGUAGE_HOST_LAUNCHER = `#!/bin/sh
exec "$(dirname "$0")/pulumi-language-nodejs-host" -typescript=false "-nodeargs=-r ../toolchain/typescript.cjs" "$@"
`;

async function installLanguageHost(file: string, bin: string): Promise<void> {
  await linkOrCopy(file, path.join(bin, "pulumi-language-nodejs-host"));
  await writeFile(path.join(bin, "pulumi-language-nodejs"), LANGUAGE_HOST_LAUNCHER, { mode: 0o755 });
}

async function linkOrCopy(from: string, to: string): Promise<void> {
  try {
    await link(from, to);
  } catch {
    await copyFile(from, to); // a file system without hard links
  }
}

/** How the programs of a toolchain were got. */
export async function originOf(toolchain: Toolchain): Promise<ToolchainOrigin> {
  const file = path.join(path.dirname(toolchain.pulumiPluginsHome), "toolchain.json");
  return JSON.parse(await readFile(file, "utf8")) as ToolchainOrigin;
}
