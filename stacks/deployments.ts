/**
 * When prod deployed what, in `<trust>/deployments.json`: a drill restores an archive that may be older than the code, and
 * only a deploy after the archive's time explains a difference. A file of the repository, because a drill has to work when
 * the state of prod is gone; no resource, because a record of a change is no change to review.
 */
import { mkdirSync, renameSync, writeFileSync } from "node:fs";
import path from "node:path";
import * as pulumi from "@pulumi/pulumi";
import { z } from "zod";
import { readIfThere } from "./project-files";

const deploymentSchema = z.strictObject({
  /** Image reference, with its digest where it is locked. */
  image: z.string(),
  /** Digest of the container's configuration. */
  configuration: z.string(),
  containerId: z.string(),
  /** ISO 8601 UTC; null: older than this file. */
  deployedAt: z.iso.datetime().nullable(),
  /** First deploy of the service; null: older than this file. */
  firstDeployedAt: z.iso.datetime().nullable(),
});
export type Deployment = z.infer<typeof deploymentSchema>;

const deploymentsSchema = z.strictObject({
  formatVersion: z.literal(1),
  services: z.record(z.string(), deploymentSchema),
});
export type Deployments = Readonly<Record<string, Deployment>>;

/** Path of the file of a stack whose trust folder is this. */
export function deploymentsFile(trustDir: string): string {
  return path.join(trustDir, "deployments.json");
}

/** Undefined where there is no file. Throws an Error when there is one that can't be used. */
export function readDeployments(file: string): Deployments | undefined {
  const text = readIfThere(file);
  if (text === undefined) return undefined;
  try {
    return deploymentsSchema.parse(JSON.parse(text)).services;
  } catch (error) {
    throw new Error(
      `Unable to use ${file}: ${error instanceof Error ? error.message : String(error)}. ` +
        "Restore it from version control, or delete it; without it no difference counts as explained by a later deploy.",
      { cause: error },
    );
  }
}

/** What is recorded of a service once its container is there. Pure. */
export function nextDeployment(
  known: Deployments | undefined,
  name: string,
  now: Date,
  current: Pick<Deployment, "image" | "configuration" | "containerId">,
): Deployment {
  const before = known?.[name];
  // Without a file nothing tells whether the container was made now or years ago.
  const at = known === undefined ? null : now.toISOString();
  const isSame =
    before !== undefined &&
    before.containerId === current.containerId &&
    before.image === current.image &&
    before.configuration === current.configuration;
  return {
    ...current,
    deployedAt: isSame ? before.deployedAt : at,
    firstDeployedAt: before === undefined ? at : before.firstDeployedAt,
  };
}

/** Writes down each service as soon as its container is there, so that a half-done update is recorded as far as it came. */
export class DeploymentLog {
  private readonly known: Deployments | undefined;
  private readonly services: Record<string, Deployment>;

  /** @param names services of the catalogue; others are dropped from the file. */
  constructor(
    private readonly file: string,
    names: readonly string[],
  ) {
    this.known = readDeployments(file);
    this.services = Object.fromEntries(Object.entries(this.known ?? {}).filter(([name]) => names.includes(name)));
  }

  /** Does nothing in a preview. */
  record(name: string, image: string, configuration: string, containerId: pulumi.Output<string>): void {
    containerId.apply((id) => {
      if (pulumi.runtime.isDryRun()) return;
      this.services[name] = nextDeployment(this.known, name, new Date(), { image, configuration, containerId: id });
      this.write();
    });
  }

  private write(): void {
    const services = Object.fromEntries(Object.entries(this.services).sort(([a], [b]) => (a < b ? -1 : 1)));
    const text = `${JSON.stringify({ formatVersion: 1, services }, undefined, 2)}\n`;
    mkdirSync(path.dirname(this.file), { recursive: true });
    const temporary = `${this.file}.${process.pid}.tmp`;
    writeFileSync(temporary, text);
    renameSync(temporary, this.file);
  }
}
