/**
 * How QEMU executes the guest's code.
 *
 * Emulation (TCG) works everywhere and is the default. KVM is used only where it was asked for and a boot test passes: there are
 * hosts with a `/dev/kvm` on which no guest runs.
 */
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

export type Accelerator = "tcg" | "kvm";

/** Exit status of the boot test: QEMU's `isa-debug-exit` ends with `(value << 1) | 1`. */
const BOOT_TEST_VALUE = 0x2a;
const BOOT_TEST_STATUS = (BOOT_TEST_VALUE << 1) | 1;
const BOOT_TEST_TIMEOUT_MS = 10_000;

/** `mov dx, 0x501; mov al, 0x2a; out dx, al; hlt`, the first instructions after SeaBIOS. */
const BOOT_TEST_CODE = [0xba, 0x01, 0x05, 0xb0, BOOT_TEST_VALUE, 0xee, 0xf4];

/**
 * Chooses by `HOMELAB_ACCEL`: `tcg` (default), `kvm` (must work) or `auto` (KVM if it works). Throws for anything else, and for
 * a `kvm` that doesn't pass its boot test.
 */
export async function chooseAccelerator(wanted = process.env.HOMELAB_ACCEL ?? "tcg"): Promise<Accelerator> {
  switch (wanted) {
    case "tcg":
      return "tcg";
    case "auto":
      return (await bootTest("kvm")) === undefined ? "kvm" : "tcg";
    case "kvm": {
      const problem = await bootTest("kvm");
      if (problem === undefined) return "kvm";
      throw new Error(`Unable to use KVM: ${problem}. Unset HOMELAB_ACCEL to emulate the processor.`);
    }
    default:
      throw new Error(`Unable to choose an accelerator: HOMELAB_ACCEL is "${wanted}". Set it to tcg, kvm or auto.`);
  }
}

/** Boots a sector that tells its arrival. Undefined: it arrived; else why not. */
export async function bootTest(accelerator: Accelerator): Promise<string | undefined> {
  const folder = await mkdtemp(join(tmpdir(), "homelab-boot-test-"));
  try {
    const sector = Buffer.alloc(512);
    Buffer.from(BOOT_TEST_CODE).copy(sector);
    sector.writeUInt16LE(0xaa55, 510);
    const disk = join(folder, "disk.raw");
    await writeFile(disk, sector);
    const args = ["-accel", accelerator, "-m", "32", "-nodefaults", "-display", "none", "-no-reboot"];
    args.push("-drive", `file=${disk},format=raw,if=ide`, "-device", "isa-debug-exit,iobase=0x501,iosize=1");
    return await new Promise((resolve) => {
      execFile(
        "qemu-system-x86_64",
        args,
        { timeout: BOOT_TEST_TIMEOUT_MS, killSignal: "SIGKILL" },
        (error, _, stderr) => {
          if (error?.code === BOOT_TEST_STATUS) resolve(undefined);
          else if (error?.killed) resolve(`a boot test got nowhere within ${BOOT_TEST_TIMEOUT_MS / 1000} s`);
          else resolve(stderr.trim() || error?.message || "a boot test ended without reaching the boot sector");
        },
      );
    });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
