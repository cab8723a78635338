/** `homelab lock`: writes down which content the catalogue's image tags stand for now. */
import { writeFile } from "node:fs/promises";
import type { ServiceSpec } from "../../services/spec";
import { printImagesLock, readImagesLock } from "../../stacks/images-lock";
import { CliError, causeOf } from "../errors";
import { resolveDigest } from "./registry";

export interface LockArgs {
  /** Absolute path of the lock file. */
  readonly file: string;
  readonly catalogue: readonly ServiceSpec[];
  readonly signal?: AbortSignal;
}

/**
 * Asks the registries and writes the lock file. Images that carry a digest themselves need no entry. Throws a CliError
 * that names every image that could not be resolved; then nothing is written.
 *
 * @returns lines for people: what is new, what moved, what went.
 */
export async function lockImages({ file, catalogue, signal }: LockArgs): Promise<string[]> {
  const before = readImagesLock(file);
  const images = [...new Set(catalogue.map(({ image }) => image).filter((image) => !image.includes("@")))].sort();
  const results = await Promise.allSettled(images.map(async (image) => resolveDigest(image, signal)));
  const problems = results.flatMap((result) => (result.status === "rejected" ? [`- ${causeOf(result.reason)}`] : []));
  if (problems.length > 0) {
    throw new CliError(
      `Unable to lock ${problems.length} of ${images.length} images; ${file} stays as it was.\n` +
        `${problems.join("\n")}\nCorrect the references in services/, or try again when the registry can be reached.`,
    );
  }
  const after = new Map(
    results.flatMap((result, index) => (result.status === "fulfilled" ? [[images[index] ?? "", result.value]] : [])),
  );
  await writeFile(file, printImagesLock(after));
  return describeChanges(before, after);
}

function describeChanges(before: ReadonlyMap<string, string>, after: ReadonlyMap<string, string>): string[] {
  const lines = [...after].map(([image, digest]) => {
    const old = before.get(image);
    if (old === undefined) return `${image} is locked to ${digest}`;
    return old === digest ? `${image} is as before` : `${image} moved from ${old} to ${digest}`;
  });
  const gone = [...before.keys()].filter((image) => !after.has(image)).map((image) => `${image} is no longer used`);
  return [...lines, ...gone];
}
