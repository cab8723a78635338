/**
 * What a report says of the disks that an emergency kept: where they are, how to use and remove them, how to go back. A disk that
 * nothing confirmed in the VM that keeps them may be in either VM, and then nothing is said that would destroy one. Pure.
 */
import type { Evidence } from "./contract/evidence";

/** One sentence, for the terminal; undefined if nothing was kept. */
export function asideSummary(evidence: Evidence): string | undefined {
  const { aside, target } = evidence;
  if (aside === null) return undefined;
  const { disks, left } = aside;
  const keys = disks.map(({ disk }) => disk).join(", ");
  const maybe = left.join(", ");
  const holder = `VM ${aside.vmId} ("${aside.name}")`;
  const old = `the old VM ${target.vmId}${sinceEarlier(evidence)}`;
  if (left.length === 0) {
    return `${holder} keeps ${keys} of ${old}; the report says how to use, bring back or remove it`;
  }
  const what = disks.length === 0 ? `may keep ${maybe}` : `keeps ${keys}, and maybe ${maybe},`;
  return `${holder} ${what} of ${old}; the report says where to look`;
}

/** Which run began it, where that is not the one that is told of. */
function sinceEarlier({ aside, runId }: Evidence): string {
  return aside === null || aside.began === runId ? "" : ` since run ${aside.began}`;
}

/** Section of the report; empty if no VM was replaced. */
export function asideLines(evidence: Evidence): string[] {
  const { aside, target, verdict } = evidence;
  if (aside === null) return [];
  const { vmId: asideId, name, began, disks, left, replaced } = aside;
  const { vmId, node } = target;
  const keys = disks.map(({ disk }) => disk);
  const where = replaced
    ? `not in VM ${asideId} when this run looked, and VM ${vmId} was gone`
    : `in VM ${vmId} or already in VM ${asideId}`;
  return [
    "## The old VM",
    "",
    `With the broken VM ${vmId} go its cloud-init drive, which Proxmox makes from the configuration, its firewall rules ` +
      `(/etc/pve/firewall/${vmId}.fw; a backup holds its own) and the rights granted on /vms/${vmId} (to be granted anew). Nothing else of ` +
      `it is deleted. Disks that VM ${asideId} ("${name}") on ${node} keeps${sinceEarlier(evidence)}, by renaming:`,
    "",
    ...(disks.length > 0
      ? disks.map(({ disk, volume }) => `- ${disk}: ${volume}`)
      : ["- none that this run saw there"]),
    ...left.map((disk) => `- ${disk}: ${where}`),
    "",
    ...(left.length > 0 ? [...lookFirst(evidence), ""] : []),
    `Its configuration: ${began}/vm-${vmId}.conf beside this run's folder, and the description of VM ${asideId}. A cloud-init password is in ` +
      "neither: Proxmox shows none.",
    "",
    ...(verdict === "passed"
      ? [
          `- When nobody needs them any more, on ${node}: \`qm set ${asideId} --protection 0 && qm destroy ${asideId}\`. Nothing here ever does that.`,
          "- To read one, give it to another Linux VM and mount it there. Not to the restored one: its file systems have the same UUIDs. " +
            `\`qm disk move ${asideId} ${keys[0] ?? "scsi0"} --target-vmid <other> --target-disk scsi5\``,
        ]
      : left.length > 0
        ? [
            "Run the restore again: it goes on where this run ended. To have the old VM back instead, give it back each disk that VM " +
              `${asideId} names then: \`${moveBack(asideId, "<key>", vmId)}\`. Remove neither VM while a disk is not found.`,
          ]
        : replaced
          ? afterReplacement(evidence, keys)
          : beforeReplacement(evidence, keys)),
    "",
  ];
}

/** Where to look for disks that nothing confirmed. Proxmox renames a disk first, then takes it out of one VM, then gives it to the other. */
function lookFirst({ target: { vmId, node }, aside }: Evidence): string[] {
  if (aside === null) return [];
  return [
    `Where ${aside.left.join(" and ")} is, \`qm config ${vmId}\` and \`qm config ${aside.vmId}\` say on ${node}. What neither names, Proxmox ` +
      `had renamed when it was stopped: \`qm disk rescan --vmid ${aside.vmId}\` lists it in VM ${aside.vmId} as unused.`,
  ];
}

/** Every disk is kept, and the run did not see the emptied VM go. */
function beforeReplacement({ target: { vmId, node }, aside }: Evidence, keys: readonly string[]): string[] {
  if (aside === null) return [];
  return [
    `Every disk is in VM ${aside.vmId}. Whether VM ${vmId} still stands, without disks, \`qm config ${vmId}\` says. Run the restore again: it ` +
      `goes on where this run ended. To have the old VM back instead, on ${node}, as root:`,
    "",
    "```sh",
    `[ -e /etc/pve/qemu-server/${vmId}.conf ] || ${configBack(vmId, keys, aside.began)}`,
    ...keys.map((key) => `${moveBack(aside.vmId, key, vmId)} &&`),
    `qm set ${aside.vmId} --protection 0 && qm destroy ${aside.vmId}`,
    "```",
    "",
    `and set its boot order as in vm-${vmId}.conf.`,
  ];
}

/** Commands that make the old VM again, once it is gone. */
function afterReplacement({ target: { vmId, node }, aside }: Evidence, keys: readonly string[]): string[] {
  if (aside === null) return [];
  return [
    `Run the restore again if that mends it. To have the old VM back instead, on ${node}, as root; where the restored VM ${vmId} stands, ` +
      `it goes first, with what was written into it (\`qm stop ${vmId}; qm set ${vmId} --protection 0; qm destroy ${vmId}\`):`,
    "",
    "```sh",
    configBack(vmId, keys, aside.began),
    ...keys.map((key) => `${moveBack(aside.vmId, key, vmId)} &&`),
    `qm set ${aside.vmId} --protection 0 && qm destroy ${aside.vmId} && qm start ${vmId}`,
    "```",
    "",
    `If the file names a cloud-init drive, make it anew before the start: \`qm set ${vmId} --ide2 <storage>:cloudinit\`, with its key and storage.`,
  ];
}

function configBack(vmId: number, keys: readonly string[], began: string): string {
  return `grep -vE '^(${keys.join("|")}):|cloudinit' vm-${vmId}.conf >/etc/pve/qemu-server/${vmId}.conf # the file of run ${began}`;
}

/** Where more follows it is chained, so that nothing is destroyed while a disk is still in it. */
function moveBack(from: number, key: string, to: number): string {
  return `qm disk move ${from} ${key} --target-vmid ${to} --target-disk ${key}`;
}
