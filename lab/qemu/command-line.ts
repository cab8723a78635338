/**
 * QEMU's command line of a VM, from its Proxmox VE configuration. Pure: reads no file and starts nothing.
 * Source: PVE/QemuServer.pm, `config_to_command`.
 */
import { parsePropertyString } from "../../pve/property-string";
import type { VmConfig } from "../types";
import type { Accelerator } from "./accelerator";
import { cpuModel } from "./cpu";
import { driveOptions, isQ35 } from "./drives";
import { firmwareOptions, type FirmwareFiles, type FirmwareOptions } from "./firmware";
import { type PlannedCard, networkOptions } from "./networks";

/** Absolute paths of one machine's files. */
export interface MachineFiles extends FirmwareFiles {
  readonly qmpSocket: string;
  readonly agentSocket: string;
  readonly pidFile: string;
  /** Output of the first serial port, all boots one after the other. */
  readonly consoleLog: string;
}

export interface CommandLineInput {
  readonly vmId: number;
  readonly config: VmConfig;
  readonly files: MachineFiles;
  readonly accelerator: Accelerator;
  /** Cores of the node; more of them in a VM are noted. */
  readonly nodeCores: number;
  readonly pathOf: (volumeId: string) => string;
  /** Whether a CD-ROM's medium is there; default: all are. */
  readonly hasMedium?: (volumeId: string) => boolean;
}

export interface CommandLine {
  readonly args: string[];
  readonly cards: PlannedCard[];
  /** Whether the machine has the guest agent's port. */
  readonly hasAgent: boolean;
  /** What must be there before QEMU starts. */
  readonly firmware: Pick<FirmwareOptions, "temporaryVariables" | "tpm">;
  /** What the configuration asks for and the lab does otherwise, for the task's log. */
  readonly notes: string[];
}

/** Configuration that needs hardware, files or rights that a lab machine doesn't have. */
const REFUSED: readonly (readonly [RegExp, (value: string) => boolean, string])[] = [
  [/^bios$/, (value) => value !== "seabios" && value !== "ovmf", "the lab has SeaBIOS and OVMF only"],
  [/^hostpci\d+$/, () => true, "no PCI device is passed through; remove it"],
  [/^usb\d+$/, (value) => !/^(?:host=)?spice(?:,|$)/.test(value), "no USB device is passed through; remove it"],
  [/^virtiofs\d+$/, () => true, "no folder of the node is shared; remove it"],
  [/^parallel\d+$/, () => true, "no parallel port is passed through; remove it"],
  [/^serial[1-3]$/, () => true, "a lab machine has one serial port; remove it"],
  [/^serial0$/, (value) => value !== "socket", "no serial device is passed through; use socket"],
  [/^(?:args|hookscript)$/, () => true, "only root of a real node may set it; remove it"],
  [/^ivshmem$/, () => true, "the lab doesn't emulate it; remove it"],
  [/^(?:amd-sev|intel-tdx)$/, () => true, "the lab has no confidential computing; remove it"],
  [/^arch$/, (value) => value !== "x86_64", "only x86_64 machines run in the lab"],
  [/^vmstate$/, () => true, "a suspended machine can't be resumed in the lab; remove its state"],
  [/^template$/, (value) => value === "1", "you can't start a vm if it's a template"],
];

/** Configuration that only tunes a real machine. */
const WITHOUT_EFFECT = /^(?:cpulimit|affinity|hugepages|watchdog|numa\d+|usb\d+|audio0)$/;

/** Builds the command line. Throws one error that names every key which the lab can't honour. */
export function commandLine(input: CommandLineInput): CommandLine {
  const { vmId, config, files } = input;
  const problems = refusals(config);
  const collect = <T>(build: () => T, fallback: T): T => {
    try {
      return build();
    } catch (error) {
      problems.push(error instanceof Error ? error.message : String(error));
      return fallback;
    }
  };
  const firmware = collect<FirmwareOptions>(() => firmwareOptions(config, files, input.pathOf), {
    args: [],
    notes: [],
  });
  const drives = collect(() => driveOptions(config, input.pathOf, input.hasMedium), { args: [], notes: [] });
  const networks = collect(() => networkOptions(vmId, config), { args: [], cards: [], notes: [] });
  const agent = collect(() => agentOptions(config, files.agentSocket), []);
  if (problems.length > 0) throw new Error(`Unable to start VM ${vmId}: ${problems.join("; ")}.`);

  const processor = processorOptions(config, input.accelerator, input.nodeCores);
  const name = (config.name ?? `vm${vmId}`).replaceAll(",", ",,");
  const args = [
    ...["-name", `${name},debug-threads=on`, "-pidfile", files.pidFile],
    ...["-nodefaults", "-no-user-config", "-display", "none", "-S"],
    ...["-chardev", `socket,id=qmp,path=${files.qmpSocket},server=on,wait=off`, "-mon", "chardev=qmp,mode=control"],
    ...["-chardev", `file,id=console,path=${files.consoleLog},append=on`, "-serial", "chardev:console"],
    ...machineOptions(config),
    ...firmware.args,
    ...processor.args,
    ...identityOptions(config),
    ...agent,
    ...[
      "-object",
      "rng-random,id=rng0,filename=/dev/urandom",
      "-device",
      "virtio-rng-pci,rng=rng0,bus=pci.0,addr=0x1d",
    ],
    ...networks.args,
    ...drives.args,
  ];
  const ignored = Object.keys(config).filter((key) => WITHOUT_EFFECT.test(key));
  const notes = [
    ...processor.notes,
    ...ignored.map((key) => `${key}: ${config[key] ?? ""} has no effect in the lab`),
    ...firmware.notes,
    ...networks.notes,
    ...drives.notes,
  ];
  return { args, cards: networks.cards, hasAgent: agent.length > 0, firmware, notes };
}

/** Whether the configuration asks for the guest agent. */
export function agentEnabled(config: VmConfig): boolean {
  return parsePropertyString(config.agent ?? "0", "enabled").enabled === "1";
}

/** Every setting that no machine of the lab can have, with the reason. Pure. */
export function refusals(config: VmConfig): string[] {
  return Object.entries(config).flatMap(([key, value]) =>
    REFUSED.filter(([pattern, applies]) => pattern.test(key) && applies(value)).map(
      ([, , reason]) => `${key}=${value}: ${reason}`,
    ),
  );
}

function machineOptions(config: VmConfig): string[] {
  const machine = isQ35(config) ? "q35" : "pc";
  const options = [machine, ...(config.acpi === "0" ? ["acpi=off"] : [])];
  const args = ["-machine", options.join(","), "-boot", "strict=on,reboot-timeout=1000"];
  if (isQ35(config)) {
    // Gives q35 the bus that all devices of the lab plug into.
    args.push("-device", "i82801b11-bridge,id=pcidmi,bus=pcie.0,addr=0x1e");
    args.push("-device", "pci-bridge,id=pci.0,bus=pcidmi,addr=0x1,chassis_nr=1");
  }
  const base = config.startdate ?? (config.localtime === "1" ? "localtime" : "utc");
  args.push("-rtc", `base=${base === "now" ? "utc" : base}`);
  if (config.reboot === "0") args.push("-no-reboot");
  const memory = parsePropertyString(config.memory ?? "512", "current").current ?? "512";
  return [...args, "-m", memory];
}

function processorOptions(
  config: VmConfig,
  accelerator: Accelerator,
  nodeCores: number,
): { args: string[]; notes: string[] } {
  const sockets = Number(config.sockets ?? "1");
  const cores = Number(config.cores ?? "1");
  const maximum = sockets * cores;
  const count = Math.min(Number(config.vcpus ?? maximum), maximum);
  const notes: string[] = [];
  if (count > nodeCores) notes.push(`WARN: ${count} virtual cores on a node with ${nodeCores}`);
  const cpu = cpuModel(config.cpu, accelerator);
  const accel = accelerator === "kvm" ? "kvm" : "tcg,thread=multi,tb-size=512";
  const topology = `${count},sockets=${sockets},cores=${cores},maxcpus=${maximum}`;
  return { args: ["-accel", accel, "-cpu", cpu.model, "-smp", topology], notes: [...notes, ...cpu.notes] };
}

function identityOptions(config: VmConfig): string[] {
  const args: string[] = [];
  const { base64, ...fields } = parsePropertyString(config.smbios1 ?? "") as Partial<Record<string, string>>;
  if (fields.uuid !== undefined) args.push("-uuid", fields.uuid);
  const entries = Object.entries(fields).map(([key, value = ""]) => {
    const text = base64 === "1" && key !== "uuid" ? Buffer.from(value, "base64").toString("utf8") : value;
    return `${key}=${text.replaceAll(",", ",,")}`;
  });
  if (entries.length > 0) args.push("-smbios", `type=1,${entries.join(",")}`);
  const { vmgenid } = config;
  // Value 1 (made at the next start) is replaced by the API before a start; 0 is none.
  if (vmgenid !== undefined && vmgenid.length > 1) args.push("-device", `vmgenid,guid=${vmgenid}`);
  return args;
}

function agentOptions(config: VmConfig, socket: string): string[] {
  if (!agentEnabled(config)) return [];
  const { type = "virtio" } = parsePropertyString(config.agent ?? "0", "enabled") as Partial<Record<string, string>>;
  if (type !== "virtio") throw new Error(`agent: type "${type}" is not emulated; use virtio`);
  return [
    ...["-chardev", `socket,id=qga0,path=${socket},server=on,wait=off`],
    ...["-device", "virtio-serial,id=qga0,bus=pci.0,addr=0x8"],
    ...["-device", "virtserialport,chardev=qga0,name=org.qemu.guest_agent.0"],
  ];
}
