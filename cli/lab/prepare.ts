import { type RegistryContent, ensureRegistryImages } from "../../lab/images/oci";
import { ensureCloudImage } from "../../lab/images/cloud-image";
import { cacheDir } from "../../toolchain/cache";
import { ensureToolchain, type Toolchain } from "../../toolchain/ensure";
import type { Progress } from "../progress";

/** Everything that a lab needs and that outlives it, in the cache. */
export interface LabParts {
  readonly toolchain: Toolchain;
  readonly cloudImage: { readonly file: string; readonly sha256: string };
  readonly registry: RegistryContent;
}

/** Gets system packages, Pulumi with its plugins, and the lab's images. Warm: about a second. */
export async function prepareLab(images: readonly string[], progress: Progress): Promise<LabParts> {
  // Packages first: the images are built with them.
  const packages = await progress.step("system packages", ({ detail }) =>
    ensureToolchain({ log: detail, what: ["packages"] }),
  );
  progress.log(`packages: ${packages.key}`);
  // Building programs and images side by side keeps both cores busy and is safe: they share nothing.
  const [toolchain, guest] = await settle([
    progress.step("Pulumi and its plugins", ({ detail }) => ensureToolchain({ log: detail, what: ["pulumi"] })),
    guestParts(images, progress),
  ]);
  return { toolchain, ...guest };
}

async function guestParts(images: readonly string[], progress: Progress): Promise<Omit<LabParts, "toolchain">> {
  const cloudImage = await progress.step("the lab's cloud image", ({ detail }) =>
    ensureCloudImage({ cacheDir: cacheDir(), log: detail }),
  );
  const registry = await progress.step("the lab's container images", ({ detail }) =>
    ensureRegistryImages({ cacheDir: cacheDir(), log: detail, wanted: [...images] }),
  );
  return { cloudImage, registry };
}

/** Waits for both even when one fails, so that nothing is still being built when the error is shown. */
async function settle<A, B>(work: [Promise<A>, Promise<B>]): Promise<[A, B]> {
  const [first, second] = await Promise.allSettled(work);
  if (first.status === "rejected") throw first.reason;
  if (second.status === "rejected") throw second.reason;
  return [first.value, second.value];
}
