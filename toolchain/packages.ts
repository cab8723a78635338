import * as path from "node:path";

import { cacheDir, exists, withLock } from "./cache";
import { causeOf, type Log, run, withProgress } from "./process";
import { DEBIAN_PACKAGES, type DebianPackage } from "./versions";

/**
 * Installs the Debian packages that are missing; a warm call only asks dpkg. Throws when something is missing and this
 * process can't install it (not Debian, not root); the error lists the packages and the command.
 */
export async function ensurePackages(log: Log, packages: readonly DebianPackage[] = DEBIAN_PACKAGES): Promise<void> {
  if ((await missingPackages(packages)).length === 0) return;
  await withLock(path.join(cacheDir(), "packages.lock"), log, async () => {
    const missing = await missingPackages(packages);
    if (missing.length === 0) return;
    const names = missing.map((entry) => entry.name);
    if (process.getuid?.() !== 0) throw cannotInstall(missing, "this user isn't root");
    // Debian's QEMU and Proxmox' own exclude each other: apt would remove Proxmox VE to make room.
    if (await exists("/etc/pve")) throw cannotInstall(missing, "this is a Proxmox VE node, which it would break");
    const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive", LC_ALL: "C.UTF-8" };
    // Another apt (unattended upgrades) may hold its lock: wait for it instead of failing.
    const apt = ["-o", "DPkg::Lock::Timeout=300", "-o", "Acquire::Retries=3"];
    try {
      await withProgress(log, "updating the package lists (apt-get update)", () =>
        run("apt-get", [...apt, "update"], { env, timeoutMs: 600_000 }),
      );
      await withProgress(log, `installing ${names.join(" ")}`, (report) =>
        run("apt-get", [...apt, "install", "-y", "--no-install-recommends", ...names], {
          env,
          timeoutMs: 1_200_000,
          onLine: (line) => {
            if (/^(Get:|Unpacking|Setting up)/.test(line)) report(line.slice(0, 80));
          },
        }),
      );
    } catch (error) {
      throw cannotInstall(missing, causeOf(error), error);
    }
  });
}

/** Which of the packages dpkg doesn't have installed. Throws on a machine without dpkg. */
export async function missingPackages(packages: readonly DebianPackage[]): Promise<DebianPackage[]> {
  if (!(await exists("/var/lib/dpkg/status")))
    throw cannotInstall(packages, "this machine has no dpkg (it isn't Debian)");
  // dpkg-query answers with code 1 when it doesn't know one of the names; asking for all packages avoids that.
  const list = await run("dpkg-query", ["-W", "-f", "${Package} ${db:Status-Status}\\n"]);
  const installed = new Set(
    list
      .split("\n")
      .filter((line) => line.endsWith(" installed"))
      .map((line) => line.split(" ")[0]),
  );
  return packages.filter((entry) => !installed.has(entry.name));
}

function cannotInstall(missing: readonly DebianPackage[], cause: string, error?: unknown): Error {
  const list = missing.map((entry) => `  ${entry.name}: ${entry.why}`).join("\n");
  const command = `apt-get install --no-install-recommends ${missing.map((entry) => entry.name).join(" ")}`;
  return new Error(
    `Unable to install system packages: ${cause}. Missing:\n${list}\nInstall them as root on Debian 12: ${command}`,
    { cause: error },
  );
}
