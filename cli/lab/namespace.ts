/** The lab's network namespace: no device but its own bridges, no route out, names from a hosts file of its own. */
import { existsSync } from "node:fs";
import { mkdir, readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { runCommand, runOrThrow } from "../command";
import { CliError, causeOf } from "../errors";
import type { LabPaths } from "./paths";

export async function createNamespace(paths: LabPaths): Promise<void> {
  try {
    await mkdir(paths.netnsDir, { recursive: true });
    // The lab's Cloudflare emulation keeps the hosts file equal to its records; an empty resolver file means no DNS.
    await writeFile(join(paths.netnsDir, "hosts"), "127.0.0.1 localhost\n::1 localhost\n");
    await writeFile(join(paths.netnsDir, "resolv.conf"), "# The lab has no DNS server; names stand in /etc/hosts.\n");
    await runOrThrow("ip", ["netns", "add", paths.namespace]);
    await runOrThrow("ip", ["-n", paths.namespace, "link", "set", "lo", "up"]);
  } catch (error) {
    throw new CliError(
      `Unable to make the network namespace ${paths.namespace}: ${causeOf(error)} ` +
        "Run as root on a Linux machine (or in a container with CAP_SYS_ADMIN and CAP_NET_ADMIN).",
      { cause: error },
    );
  }
}

/** Removes the namespace with its devices, and its files in /etc. Missing ones are no error. */
export async function deleteNamespace(paths: LabPaths): Promise<void> {
  if (namespaceExists(paths)) await runOrThrow("ip", ["netns", "delete", paths.namespace]);
  await rm(paths.netnsDir, { recursive: true, force: true });
  // iproute2 makes a mount of this folder for the first namespace; after the last one nothing of it shall be left.
  if ((await readdir("/run/netns").catch(() => ["unknown"])).length === 0) await runCommand("umount", ["/run/netns"]);
  // /etc/netns itself goes only when it is empty and was made for us.
  await runCommand("rmdir", ["--ignore-fail-on-non-empty", "/etc/netns"]);
}

export function namespaceExists(paths: LabPaths): boolean {
  return existsSync(`/run/netns/${paths.namespace}`);
}

/** Program and arguments that run a command inside. The environment is the caller's to give. */
export function insideNamespace(paths: LabPaths, command: readonly string[]): { program: string; args: string[] } {
  return { program: "ip", args: ["netns", "exec", paths.namespace, ...command] };
}
