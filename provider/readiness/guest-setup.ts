/** What the guest needs before services can be put on it. Every step looks first and changes only what is missing. */
import { pollUntil } from "../../pve/wait";
import { quote, type SshConnection, type SshResult } from "../ssh";
import { shorten } from "../text";
import type { Deadline } from "./deadline";

/** Waits for the end of cloud-init. Exit code 2 means warnings that it recovered from. A VM without cloud-init is fine. */
export async function finishFirstBoot(connection: SshConnection, deadline: Deadline): Promise<void> {
  deadline.saw("cloud-init is running");
  // cloud-init's own status command takes seconds of Python; its result file says the same when all went well.
  const command =
    "command -v cloud-init >/dev/null || exit 0; " +
    "grep -qs '\"errors\": \\[\\]' /run/cloud-init/result.json || cloud-init status --wait --long";
  const { exitCode, stdout, stderr } = await run(connection, command, deadline, "the end of cloud-init");
  if (exitCode !== 0 && exitCode !== 2) {
    throw new Error(
      `Unable to finish the VM's first boot: cloud-init failed: ${shorten(`${stdout} ${stderr}`)}. ` +
        "See /var/log/cloud-init-output.log in the VM.",
    );
  }
}

/** Installs the Debian packages that are missing and starts the services that come with them. */
export async function provide(
  connection: SshConnection,
  packages: readonly string[],
  deadline: Deadline,
): Promise<void> {
  if (packages.length > 0) {
    const names = packages.map(quote).join(" ");
    const query = `dpkg-query --show --showformat='\${Package} \${db:Status-Status}\\n' ${names} 2>/dev/null || true`;
    const { stdout } = await run(connection, query, deadline, "dpkg-query");
    const installed = new Set(
      stdout
        .split("\n")
        .filter((line) => line.endsWith(" installed"))
        .map((line) => line.split(" ")[0]),
    );
    const missing = packages.filter((name) => !installed.has(name));
    if (missing.length > 0) await install(connection, missing, deadline);
  }
  await startUnits(connection, deadline);
}

async function install(connection: SshConnection, packages: readonly string[], deadline: Deadline): Promise<void> {
  deadline.saw(`installing ${packages.join(", ")}`);
  const apt = "apt-get -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 -qq";
  const names = packages.map(quote).join(" ");
  const script = `export DEBIAN_FRONTEND=noninteractive; ${apt} update && ${apt} install --yes --no-install-recommends ${names}`;
  const { exitCode, stdout, stderr } = await run(connection, `sudo -n sh -c ${quote(script)}`, deadline, "apt-get");
  if (exitCode !== 0) {
    throw new Error(
      `Unable to install ${packages.join(", ")} in the VM: ${shorten(stderr || stdout)}. ` +
        "Check the VM's way to its package mirror, or use an image that contains them.",
    );
  }
}

/** The agent's unit is started by its device, which was there before the package: start it now. */
async function startUnits(connection: SshConnection, deadline: Deadline): Promise<void> {
  const script =
    "for unit in qemu-guest-agent docker; do " +
    'systemctl cat "$unit" >/dev/null 2>&1 || continue; systemctl is-active --quiet "$unit" || systemctl start "$unit"; done';
  const { exitCode, stderr } = await run(connection, `sudo -n sh -c ${quote(script)}`, deadline, "systemctl");
  if (exitCode !== 0) {
    throw new Error(
      `Unable to start the guest agent and Docker in the VM: ${shorten(stderr)}. See journalctl in the VM.`,
    );
  }
}

/** The user must be root or in the group `docker`. The membership counts from the next connection on. */
export async function joinDockerGroup(connection: SshConnection, user: string, deadline: Deadline): Promise<void> {
  const script = `[ "$(id -u)" = 0 ] || id -nG ${quote(user)} | grep -qw docker || sudo -n usermod -aG docker ${quote(user)}`;
  const { exitCode, stderr } = await run(connection, script, deadline, "usermod");
  if (exitCode !== 0) {
    throw new Error(
      `Unable to let ${user} use Docker: ${shorten(stderr)}. Add the user to the group docker in the VM, or give it sudo.`,
    );
  }
}

/** Waits for the engine's answer and gives its version. */
export async function engineVersionOf(connection: SshConnection, deadline: Deadline): Promise<string> {
  const version = await pollUntil({ timeoutMs: deadline.leftMs(), signal: deadline.signal }, async () => {
    const command = "docker version --format '{{.Server.Version}}'";
    const { exitCode, stdout, stderr } = await run(connection, command, deadline, "docker version");
    if (exitCode === 0 && stdout.trim() !== "") return stdout.trim();
    deadline.saw(`docker version: ${shorten(stderr || stdout)}`);
    return undefined;
  });
  if (version === undefined) throw deadline.timedOut("the Docker engine");
  return version;
}

async function run(
  connection: SshConnection,
  command: string,
  deadline: Deadline,
  waitedFor: string,
): Promise<SshResult> {
  const leftMs = deadline.leftMs();
  const begun = performance.now();
  try {
    return await connection.run(command, { timeoutMs: leftMs, signal: deadline.signal });
  } catch (error) {
    if (performance.now() - begun >= leftMs && !deadline.signal.aborted) throw deadline.timedOut(waitedFor);
    throw error;
  }
}
