/**
 * The VM configuration keys that the lab knows, as PVE declares them (PVE::QemuServer `$confdesc`). Some only describe
 * hardware that an emulated guest does not show (`cpulimit`, `vga`, `tablet`): they are kept and given back.
 */
import {
  boolean,
  declarationOf,
  integer,
  number,
  oneOf,
  optional,
  string,
  type Parameter,
  type ParameterMap,
  type ParameterValue,
} from "../params";
import { type VmConfig } from "../types";

const dnsName = string({
  format: (text) =>
    /^([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]*[a-z0-9])?$/i.test(text)
      ? undefined
      : "invalid format - value does not look like a valid DNS name",
});
const urlEncoded = string({
  format: (text) =>
    /^[-%a-zA-Z0-9_.!~*'()]*$/.test(text) ? undefined : `invalid format - value '${text}' is not url-encoded`,
});
const tagList = string({
  format: (text) =>
    text.split(/[,;\s]+/).every((tag) => tag === "" || /^[a-z0-9_][a-z0-9_+.-]*$/i.test(tag))
      ? undefined
      : "invalid format - invalid characters in tag",
});

/** Keys of `POST …/qemu` and `PUT …/config` that the lab keeps. `[n]` is an index. */
export const vmConfigParameters = {
  acpi: optional(boolean()),
  agent: optional(string()),
  autostart: optional(boolean()),
  balloon: optional(integer(0)),
  bios: optional(oneOf("seabios", "ovmf")),
  boot: optional(string()),
  cipassword: optional(string()),
  citype: optional(oneOf("configdrive2", "nocloud", "opennebula")),
  ciupgrade: optional(boolean()),
  ciuser: optional(string()),
  cores: optional(integer(1)),
  cpu: optional(string()),
  cpulimit: optional(number(0, 128)),
  cpuunits: optional(integer(1, 262144)),
  description: optional(string({ maxLength: 8192 })),
  hotplug: optional(string()),
  "ide[n]": optional(string()),
  "ipconfig[n]": optional(string()),
  keyboard: optional(string()),
  kvm: optional(boolean()),
  localtime: optional(boolean()),
  machine: optional(string()),
  memory: optional(
    string({ format: (text) => (/^(current=)?\d+$/.test(text) ? undefined : "invalid format - value must be MiB") }),
  ),
  name: optional(dnsName),
  nameserver: optional(string()),
  "net[n]": optional(string()),
  numa: optional(boolean()),
  onboot: optional(boolean()),
  ostype: optional(
    oneOf("other", "wxp", "w2k", "w2k3", "w2k8", "wvista", "win7", "win8", "win10", "win11", "l24", "l26", "solaris"),
  ),
  protection: optional(boolean()),
  reboot: optional(boolean()),
  rng0: optional(string()),
  "sata[n]": optional(string()),
  "scsi[n]": optional(string()),
  scsihw: optional(oneOf("lsi", "lsi53c810", "virtio-scsi-pci", "virtio-scsi-single", "megasas", "pvscsi")),
  searchdomain: optional(string()),
  "serial[n]": optional(
    string({ format: (text) => (text === "socket" ? undefined : "the lab knows serial ports of type 'socket' only") }),
  ),
  shares: optional(integer(0, 50000)),
  smbios1: optional(string({ maxLength: 512 })),
  sockets: optional(integer(1)),
  sshkeys: optional(urlEncoded),
  startup: optional(string()),
  tablet: optional(boolean()),
  tags: optional(tagList),
  template: optional(boolean()),
  "unused[n]": optional(string()),
  vcpus: optional(integer(1)),
  vga: optional(string()),
  "virtio[n]": optional(string()),
  vmgenid: optional(
    string({
      format: (text) =>
        /^([a-f0-9]{8}(-[a-f0-9]{4}){3}-[a-f0-9]{12}|[01])$/i.test(text)
          ? undefined
          : "value does not match the regex pattern",
    }),
  ),
} satisfies ParameterMap;

/** Keys that PVE has and the lab cannot give a guest: refused, never stored. */
export const unsupportedVmConfig: readonly string[] = [
  "affinity",
  "allow-ksm",
  "amd-sev",
  "arch",
  "args",
  "audio0",
  "bootdisk",
  "cdrom",
  "cicustom",
  "efidisk0",
  "freeze",
  "hookscript",
  "hostpci[n]",
  "hugepages",
  "intel-tdx",
  "ivshmem",
  "keephugepages",
  "lock",
  "migrate_downtime",
  "migrate_speed",
  "numa[n]",
  "parallel[n]",
  "smp",
  "spice_enhancements",
  "startdate",
  "tdf",
  "tpmstate0",
  "usb[n]",
  "virtiofs[n]",
  "vmstatestorage",
  "watchdog",
];

/** Whether PVE has such a configuration key at all. */
export function isVmConfigKey(key: string): boolean {
  const indexed = key.replace(/\d+$/, "[n]");
  return (
    declarationOf(vmConfigParameters, key) !== undefined ||
    unsupportedVmConfig.includes(key) ||
    unsupportedVmConfig.includes(indexed)
  );
}

/** The configuration keys among a call's values, as the file keeps them: booleans are 1 and 0. */
export function configValues(all: Readonly<Record<string, ParameterValue>>): VmConfig {
  return Object.fromEntries(
    Object.entries(all)
      .filter(([key]) => declarationOf(vmConfigParameters, key) !== undefined)
      .map(([key, value]) => [key, typeof value === "boolean" ? (value ? "1" : "0") : String(value)]),
  );
}

/** A configuration with the types that the API answers with: booleans and integers are numbers. Passwords are masked. */
export function typedConfig(config: VmConfig): Record<string, string | number> {
  return Object.fromEntries(Object.entries(config).map(([key, value]) => [key, typedValue(key, value)]));
}

function typedValue(key: string, value: string): string | number {
  if (key === "cipassword") return "**********";
  const declaration: Parameter | undefined = declarationOf(vmConfigParameters, key);
  return declaration !== undefined && declaration.type !== "string" ? Number(value) : value;
}
