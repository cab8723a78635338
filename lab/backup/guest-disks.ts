/** Which disks of a guest a backup includes, and the configuration that goes into the archive. Pure. */
import { parsePropertyString } from "../../pve/property-string";
import { diskKeys, isCdrom, printQmdumpEntry } from "../../pve/vm-config";
import { isVolumeId, parseVolumeId } from "../../pve/volume-id";
import { type VmConfig } from "../types";

/** A drive of the guest, as vzdump sees it. */
export interface GuestDisk {
  readonly key: string;
  readonly volid: string;
  /** As the configuration says it, `8G`. */
  readonly size: string | undefined;
  /** Undefined: included. Otherwise PVE's reason. */
  readonly excluded: string | undefined;
}

/** Drives without CD-ROMs and cloud-init, in order. Source: qemu-server `get_backup_volumes`. */
export function guestDisks(config: VmConfig): GuestDisk[] {
  return diskKeys(config).flatMap((key) => {
    const value = config[key];
    if (value === undefined || isCdrom(value)) return [];
    const drive = parsePropertyString(value, "file");
    const volid = drive["file"] ?? "";
    const notOvmf = key.startsWith("efidisk") && config["bios"] !== "ovmf";
    const excluded = notOvmf ? "efidisk but no OMVF BIOS" : drive["backup"] === "0" ? "backup=no" : undefined;
    return [{ key, volid, size: drive["size"], excluded }];
  });
}

/** The device's name in archives, `drive-scsi0`. */
export function archiveDevice(key: string): string {
  return key === "tpmstate0" ? "drive-tpmstate0-backup" : `drive-${key}`;
}

export interface ArchivedConfig {
  readonly text: string;
  /** What was left out, as PVE logs it. */
  readonly remarks: readonly string[];
}

/** The guest's configuration as it goes into an archive: current section only, with a map of the disks. Source: `assemble`. */
export function archivedConfig(configText: string, disks: readonly GuestDisk[]): ArchivedConfig {
  const lines: string[] = [];
  const remarks: string[] = [];
  let section: "current" | "snapshot" | "pending" | "special" = "current";
  for (const line of configText.replace(/\n+$/, "").split("\n")) {
    const header = /^\[(.*)\]\s*$/.exec(line)?.[1];
    if (header !== undefined) {
      section = /^pending$/i.test(header) ? "pending" : header.startsWith("special:") ? "special" : "snapshot";
      const remark = {
        special: "special config section found (not included into backup)",
        snapshot: "snapshots found (not included into backup)",
        pending: "pending configuration changes found (not included into backup)",
      }[section];
      if (!remarks.includes(remark)) remarks.push(remark);
    }
    if (section !== "current" || /^#(?:vzdump|qmdump)#/.test(line)) continue;
    const unused = /^unused\d+:\s*(\S+)/.exec(line)?.[1];
    if (unused !== undefined) {
      remarks.push(`skip unused drive '${unused}' (not included into backup)`);
    } else if (!/^(?:lock|parent):/.test(line)) {
      lines.push(line);
    }
  }
  for (const { key, volid, excluded } of disks) {
    if (excluded !== undefined) continue;
    const storage = isVolumeId(volid) ? parseVolumeId(volid).storage : "";
    lines.push(printQmdumpEntry({ key, device: archiveDevice(key), storage, format: "raw" }));
  }
  return { text: lines.map((line) => `${line}\n`).join(""), remarks };
}
