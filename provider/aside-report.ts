/** What a report says of the disks that an emergency kept: where they are, how to use and remove them, how to go back. Pure. */
import type { Evidence } from "./contract/evidence";

/** One sentence, for the terminal; undefined if nothing was kept. */
export function asideSummary({ aside, target: { vmId } }: Evidence): string | undefined {
  if (aside === null || aside.disks.length === 0) return undefined;
  const keys = aside.disks.map(({ disk }) => disk).join(", ");
  return `VM ${aside.vmId} ("${aside.name}") keeps ${keys} of the old VM ${vmId}; the report says how to use, bring back or remove it`;
}

/** Section of the report; empty if no VM was replaced. */
export function asideLines(evidence: Evidence): string[] {
  const { aside, target, verdict } = evidence;
  if (aside === null) return [];
  const { vmId: asideId, name, began, disks, left, replaced } = aside;
  const { vmId, node } = target;
  const keys = disks.map(({ disk }) => disk);
  return [
    "## The old VM",
    "",
    `Nothing of the broken VM ${vmId} was deleted but its cloud-init drive, which Proxmox makes from the configuration. Disks that VM ` +
      `${asideId} ("${name}") on ${node} keeps, by renaming:`,
    "",
    ...(disks.length > 0 ? disks.map(({ disk, volume }) => `- ${disk}: ${volume}`) : ["- none yet"]),
    ...left.map((disk) => `- ${disk}: ${replaced ? `no longer in VM ${asideId}` : `still in VM ${vmId}`}`),
    "",
    `Its configuration: ${began}/vm-${vmId}.conf beside this run's folder, and the description of VM ${asideId}. A cloud-init password is in ` +
      "neither: Proxmox shows none.",
    "",
    ...(verdict === "passed"
      ? [
          `- When nobody needs them any more, on ${node}: \`qm set ${asideId} --protection 0 && qm destroy ${asideId}\`. Nothing here ever does that.`,
          "- To read one, give it to another Linux VM and mount it there. Not to the restored one: its file systems have the same UUIDs. " +
            `\`qm disk move ${asideId} ${keys[0] ?? "scsi0"} --target-vmid <other> --target-disk scsi5\``,
        ]
      : replaced
        ? wayBack(evidence, keys)
        : [
            `VM ${vmId} was not destroyed. Run the restore again: it goes on where this run ended. To have the old VM back instead, on ${node}:`,
            "",
            "```sh",
            ...keys.map((key) => moveBack(asideId, key, vmId)),
            `qm set ${asideId} --protection 0 && qm destroy ${asideId}`,
            "```",
            "",
            `and set its boot order as in vm-${vmId}.conf.`,
          ]),
    "",
  ];
}

/** Commands that make the old VM again, once it is gone. */
function wayBack({ target: { vmId, node }, aside }: Evidence, keys: readonly string[]): string[] {
  if (aside === null) return [];
  return [
    `Run the restore again if that mends it. To have the old VM back instead, on ${node}, as root; where the restored VM ${vmId} stands, ` +
      `it goes first, with what was written into it (\`qm stop ${vmId}; qm set ${vmId} --protection 0; qm destroy ${vmId}\`):`,
    "",
    "```sh",
    `grep -vE '^(${keys.join("|")}):|cloudinit' vm-${vmId}.conf >/etc/pve/qemu-server/${vmId}.conf # the file of run ${aside.began}`,
    ...keys.map((key) => moveBack(aside.vmId, key, vmId)),
    `qm set ${aside.vmId} --protection 0 && qm destroy ${aside.vmId} && qm start ${vmId}`,
    "```",
    "",
    `If the file names a cloud-init drive, make it anew before the start: \`qm set ${vmId} --ide2 <storage>:cloudinit\`, with its key and storage.`,
  ];
}

function moveBack(from: number, key: string, to: number): string {
  // Chained, so that nothing is destroyed while a disk is still in it.
  return `qm disk move ${from} ${key} --target-vmid ${to} --target-disk ${key} &&`;
}
