/**
 * UEFI firmware (OVMF) and TPM of a VM. Source: PVE/QemuServer/OVMF.pm (`get_ovmf_files`, `print_ovmf_drive_commandlines`),
 * PVE/QemuServer.pm (`add_tpm_device`, `start_swtpm`).
 */
import { parsePropertyString } from "../../pve/property-string";
import type { VmConfig } from "../types";

/** Firmware files of Debian's package `ovmf`. */
const OVMF_FOLDER = "/usr/share/OVMF";

/** The firmware's code, which is read only, and the variables that a new machine begins with. */
export interface Firmware {
  readonly code: string;
  /** Template of the variable store; its size is the size of every store of this kind. */
  readonly variables: string;
  /** Bytes of the variable store, whatever the size of the volume that holds it. */
  readonly variablesBytes: number;
}

const FIRMWARES: Readonly<Record<string, Firmware>> = {
  "2m": {
    code: `${OVMF_FOLDER}/OVMF_CODE.fd`,
    variables: `${OVMF_FOLDER}/OVMF_VARS.fd`,
    variablesBytes: 128 * 1024,
  },
  "4m": {
    code: `${OVMF_FOLDER}/OVMF_CODE_4M.fd`,
    variables: `${OVMF_FOLDER}/OVMF_VARS_4M.fd`,
    variablesBytes: 528 * 1024,
  },
};

/** The TPM emulator of a machine: swtpm's state and the socket between it and QEMU. */
export interface Tpm {
  /** Path of the volume `tpmstate0`. */
  readonly state: string;
  readonly version: "v1.2" | "v2.0";
}

/** Options for firmware and TPM. */
export interface FirmwareOptions {
  readonly args: string[];
  readonly notes: string[];
  /** Set: the machine has no EFI disk, so this template must lie at `MachineFiles.efiVariables` before the start. */
  readonly temporaryVariables?: string;
  /** Set: an emulator must listen at `MachineFiles.tpmSocket` before the start. */
  readonly tpm?: Tpm;
}

/** Files of one machine that firmware and TPM need. */
export interface FirmwareFiles {
  /** Variables of a machine without an EFI disk; lost when it ends, as in PVE. */
  readonly efiVariables: string;
  readonly tpmSocket: string;
}

/** The firmware that a configuration asks for; undefined with SeaBIOS. */
export function firmwareOf(config: VmConfig): Firmware | undefined {
  if (config.bios !== "ovmf") return undefined;
  const { efitype = "2m" } = parsePropertyString(config.efidisk0 ?? "efitype=4m", "file") as Partial<
    Record<string, string>
  >;
  const firmware = FIRMWARES[efitype];
  if (firmware === undefined) throw new Error(`efidisk0: the lab knows no efitype "${efitype}"; use 4m or 2m`);
  return firmware;
}

/**
 * Options for UEFI firmware and TPM. The firmware of the lab doesn't enforce Secure Boot: enrolled keys stay in the variables and
 * nothing is refused because of them, so a guest that boots here may still be refused by a node that enforces it.
 */
export function firmwareOptions(
  config: VmConfig,
  files: FirmwareFiles,
  pathOf: (volumeId: string) => string,
): FirmwareOptions {
  const notes: string[] = [];
  const tpm = tpmOf(config, pathOf);
  const tpmArgs = tpm === undefined ? [] : tpmOptions(files.tpmSocket);
  const firmware = firmwareOf(config);
  if (firmware === undefined) return { args: tpmArgs, notes, ...(tpm === undefined ? {} : { tpm }) };
  const disk = parsePropertyString(config.efidisk0 ?? "", "file") as Partial<Record<string, string>>;
  if (disk["pre-enrolled-keys"] === "1") notes.push("efidisk0: Secure Boot is not enforced in the lab");
  const volume = disk.file;
  if (volume === undefined) notes.push("no efidisk configured! Using temporary efivars disk.");
  const store = volume === undefined ? files.efiVariables : pathOf(volume);
  const args = [
    ...["-drive", `if=pflash,unit=0,format=raw,readonly=on,file=${firmware.code}`],
    // A volume may be larger than the store, because a storage rounds up; QEMU wants the exact size.
    ...[
      "-drive",
      `if=pflash,unit=1,id=drive-efidisk0,format=raw,cache=unsafe,size=${firmware.variablesBytes},file=${escaped(store)}`,
    ],
    ...tpmArgs,
  ];
  return {
    args,
    notes,
    ...(volume === undefined ? { temporaryVariables: firmware.variables } : {}),
    ...(tpm === undefined ? {} : { tpm }),
  };
}

function tpmOf(config: VmConfig, pathOf: (volumeId: string) => string): Tpm | undefined {
  if (config.tpmstate0 === undefined) return undefined;
  const { file = "", version = "v1.2" } = parsePropertyString(config.tpmstate0, "file") as Partial<
    Record<string, string>
  >;
  if (version !== "v1.2" && version !== "v2.0") {
    throw new Error(`tpmstate0: the lab knows no TPM version "${version}"; use v2.0 or v1.2`);
  }
  return { state: pathOf(file), version };
}

function tpmOptions(socket: string): string[] {
  return [
    ...["-chardev", `socket,id=tpmchar,path=${socket}`],
    ...["-tpmdev", "emulator,id=tpmdev,chardev=tpmchar"],
    ...["-device", "tpm-tis,tpmdev=tpmdev"],
  ];
}

function escaped(path: string): string {
  return path.replaceAll(",", ",,");
}
