/**
 * The processor of an emulated machine: the instruction set that the configured type promises, and nothing more.
 *
 * Features cost emulation time in every guest that uses them: starting a process takes a guest of QEMU's `max` (five-level page
 * tables, supervisor access checks, wide registers to save) twice the processor time of one of `x86-64-v2-AES`.
 */
import { parsePropertyString } from "../../pve/property-string";
import type { Accelerator } from "./accelerator";

/** Levels as in PVE/QemuServer/CPUConfig.pm (`x86-64-v2`, `x86-64-v2-AES`, `x86-64-v3`). */
const BASELINE = "qemu64";
const LEVEL_2 = `${BASELINE},+popcnt,+ssse3,+sse4.1,+sse4.2`;
const LEVEL_2_AES = `${LEVEL_2},+aes`;
const LEVEL_3 = `${LEVEL_2_AES},+avx,+avx2,+bmi1,+bmi2,+f16c,+fma,+movbe,+xsave,+abm`;

const MODELS: Partial<Record<string, string>> = {
  kvm64: BASELINE,
  qemu64: BASELINE,
  "x86-64-v2": LEVEL_2,
  "x86-64-v2-AES": LEVEL_2_AES,
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
  return { model: model ?? LEVEL_3, notes };
}
