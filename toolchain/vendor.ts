import { createWriteStream } from "node:fs";
import { rm } from "node:fs/promises";
import * as path from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";

import { EnvHttpProxyAgent, fetch } from "undici";

import { exists } from "./cache";
import { type Log, run, withProgress } from "./process";
import { type PluginPin, PULUMI_VERSION } from "./versions";

/** The vendor's download site; the official installer takes its archives from there too. */
export const VENDOR_SITE = "https://get.pulumi.com";

const CONNECT_TIMEOUT_MS = 5_000;
const STALL_TIMEOUT_MS = 30_000;
const PLUGIN_TIMEOUT_MS = 300_000;

/** A Pulumi CLI that the operator has installed. */
export interface InstalledPulumi {
  /** Directory of the executable; its language hosts lie beside it. */
  binDir: string;
  /** Version without the leading "v". */
  version: string;
}

/**
 * The first `pulumi` on PATH, if its version is new enough; one inside `cache` is our own and doesn't count. A program
 * that can't tell its version counts as none.
 */
export async function findPulumi(
  cache: string,
  env: NodeJS.ProcessEnv = process.env,
): Promise<InstalledPulumi | undefined> {
  for (const binDir of (env["PATH"] ?? "").split(path.delimiter)) {
    const file = path.join(binDir, "pulumi");
    if (binDir === "" || binDir.startsWith(cache + path.sep) || !(await exists(file))) continue;
    const version = await versionOf(file);
    return version !== undefined && isNewEnough(version, PULUMI_VERSION) ? { binDir, version } : undefined;
  }
  return undefined;
}

/** Whether `version` is `minimum` or a newer one of the same major version. */
export function isNewEnough(version: string, minimum: string): boolean {
  const [major = 0, minor = 0, patch = 0] = version.split(".").map(Number);
  const [needMajor = 0, needMinor = 0, needPatch = 0] = minimum.split(".").map(Number);
  return major === needMajor && (minor > needMinor || (minor === needMinor && patch >= needPatch));
}

/** Throws when the vendor's site gives no answer within 5 seconds. */
export async function checkVendorSite(site = VENDOR_SITE): Promise<void> {
  const signal = AbortSignal.timeout(CONNECT_TIMEOUT_MS);
  await fetch(site, { method: "HEAD", redirect: "manual", signal, dispatcher: new EnvHttpProxyAgent() });
}

/**
 * Downloads the official CLI with its language hosts into `dir`, so that `dir/pulumi` exists. It is trusted as the
 * official installer trusts it: by TLS. Throws when the site is not reachable within 5 seconds or the download stalls.
 */
export async function downloadPulumi(dir: string, log: Log, site = VENDOR_SITE): Promise<void> {
  const archive = path.join(dir, "pulumi.tar.gz");
  const name = `pulumi-v${PULUMI_VERSION}-${vendorPlatform()}.tar.gz`;
  await withProgress(log, `downloading the Pulumi CLI ${PULUMI_VERSION} from ${site}`, async (report) => {
    await download(`${site}/releases/sdk/${name}`, archive, report);
    await run("tar", ["-xzf", archive, "-C", dir, "--strip-components=1"]);
    await rm(archive);
  });
  const version = await versionOf(path.join(dir, "pulumi"));
  if (version !== PULUMI_VERSION) {
    throw new Error(
      `Unable to use the Pulumi CLI downloaded from ${site}: it says version ${version ?? "unknown"}, not ${PULUMI_VERSION}.`,
    );
  }
}

/** Installs the vendor's plugin into the Pulumi home `home` with the CLI in `binDir`. */
export async function installVendorPlugin(plugin: PluginPin, binDir: string, home: string, log: Log): Promise<void> {
  const server = plugin.server === undefined ? [] : ["--server", plugin.server];
  const args = ["plugin", "install", "resource", plugin.name, plugin.version, "--exact", ...server];
  await withProgress(log, `downloading the Pulumi plugin ${plugin.name} ${plugin.version}`, () =>
    run(path.join(binDir, "pulumi"), args, {
      env: { ...process.env, PULUMI_HOME: home, PULUMI_SKIP_UPDATE_CHECK: "1" },
      timeoutMs: PLUGIN_TIMEOUT_MS,
    }),
  );
}

async function versionOf(file: string): Promise<string | undefined> {
  try {
    const env = { ...process.env, PULUMI_SKIP_UPDATE_CHECK: "1" };
    return /^v(\d+\.\d+\.\d+)/.exec(await run(file, ["version"], { timeoutMs: 10_000, env }))?.[1];
  } catch {
    return undefined;
  }
}

async function download(url: string, file: string, report: (detail: string) => void): Promise<void> {
  const controller = new AbortController();
  let timer = setTimeout(
    () => controller.abort(new Error(`no answer within ${CONNECT_TIMEOUT_MS} ms`)),
    CONNECT_TIMEOUT_MS,
  );
  const keepAlive = (): void => {
    clearTimeout(timer);
    timer = setTimeout(() => controller.abort(new Error(`no data for ${STALL_TIMEOUT_MS} ms`)), STALL_TIMEOUT_MS);
  };
  try {
    const response = await fetch(url, { signal: controller.signal, dispatcher: new EnvHttpProxyAgent() });
    if (!response.ok || response.body === null) throw new Error(`${url} answered ${response.status}`);
    let bytes = 0;
    const body = Readable.fromWeb(response.body);
    body.on("data", (chunk: Buffer) => {
      keepAlive();
      bytes += chunk.length;
      report(`${Math.round(bytes / 1e6)} MB`);
    });
    await pipeline(body, createWriteStream(file));
  } finally {
    clearTimeout(timer);
  }
}

function vendorPlatform(): string {
  const arch = { x64: "x64", arm64: "arm64" }[process.arch as string];
  const os = { linux: "linux", darwin: "darwin" }[process.platform as string];
  if (arch === undefined || os === undefined) {
    throw new Error(`Unable to download Pulumi: there is no archive for ${process.platform} ${process.arch}.`);
  }
  return `${os}-${arch}`;
}
