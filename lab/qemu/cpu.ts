/**
 * The processor of an emulated machine: the instruction set that the configured type promises, as far as it pays, and nothing more.
 *
 * Features cost emulation time in every guest that uses them: starting a process takes a guest of QEMU's `max` (five-level page
 * tables, supervisor access checks, wide registers to save) twice the processor time of one of `x86-64-v2`.
 */
import { parsePropertyString } from "../../pve/property-string";
import type { Accelerator } from "./accelerator";

const BASELINE = "qemu64";
const LEVEL_2 = `${BASELINE},+popcnt,+ssse3,+sse4.1,+sse4.2`;
const LEVEL_3 = `${LEVEL_2},+avx,+avx2,+bmi1,+bmi2,+f16c,+fma,+movbe,+xsave,+abm`;

/**
 * What PVE's types are emulated as (levels: PVE/QemuServer/CPUConfig.pm). AES instructions are left out: a Linux guest that sees
 * them tests its drivers for seconds at each boot, and expects the carry-less multiplication that PVE's type doesn't name.
 */
const MODELS: Partial<Record<string, string>> = {
  kvm64: BASELINE,
  qemu64: BASELINE,
  "x86-64-v2": LEVEL_2,
  "x86-64-v2-AES": LEVEL_2,
  "x86-64-v3": LEVEL_3,
};

export interface Cpu {
  /** QEMU's `-cpu`. */
  readonly model: string;
  /** Where the machine gets something else than was asked for. */
  readonly notes: readonly string[];
}

/** The processor for a `cpu` setting. Every other type gets the highest level that emulation has. */
export function cpuModel(setting: string | undefined, accelerator: Accelerator): Cpu {
  const { cputype: type = "kvm64", ...others } = parsePropertyString(setting ?? "kvm64", "cputype") as Partial<
    Record<string, string>
  >;
  const notes = Object.entries(others).map(([key, value]) => `cpu: ${key}=${value} has no effect in the lab`);
  if (accelerator === "kvm") return { model: "host", notes };
  const model = MODELS[type];
  if (model === undefined) notes.push(`cpu type '${type}' is emulated as x86-64-v3`);
  if (type.endsWith("-AES")) notes.push(`cpu type '${type}' is emulated without AES instructions`);
  return { model: model ?? LEVEL_3, notes };
}
