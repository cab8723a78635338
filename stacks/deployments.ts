/**
 * Which containers prod has, in `<trust>/deployments.json`: a drill restores an archive that may be older than the code, and
 * only a container that was made after the archive's time explains a difference. All of it is what Docker says of the
 * containers themselves, so that neither an update of some targets nor an old file can claim a deploy that was none. A file of
 * the repository, because a drill has to work when the state of prod is gone; no resource, because a record of a change is no
 * change to review.
 */
import { mkdirSync, renameSync, writeFileSync } from "node:fs";
import path from "node:path";
import * as pulumi from "@pulumi/pulumi";
import { z } from "zod";
import type { DeployedContainer } from "../provider/contract/production";
import { readIfThere } from "./project-files";

const deploymentSchema = z.strictObject({
  /** Image reference of the container's label, with its digest where it was locked. */
  image: z.string(),
  /** Digest of the configuration, from the container's label. */
  configuration: z.string(),
  containerId: z.string(),
  /** When Docker made the container, ISO 8601 UTC. */
  createdAt: z.iso.datetime(),
  /**
   * When Docker made the first container of the service that this file has seen. An earlier one may have been there, so a
   * drill believes it only where the restored machine has no container of the service.
   */
  firstCreatedAt: z.iso.datetime(),
});
export type Deployment = z.infer<typeof deploymentSchema>;

const deploymentsSchema = z.strictObject({
  formatVersion: z.literal(2),
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
        "Restore it from version control, or delete it: pulumi up -s prod writes it again, and without it no difference " +
        "counts as explained by a later deploy.",
      { cause: error },
    );
  }
}

/**
 * What the file says after a look at the containers. Pure. A service that has no container just now, because it is being
 * replaced, keeps what is known: the new container is not its first one.
 */
export function nextDeployments(
  known: Deployments | undefined,
  containers: readonly DeployedContainer[],
  names: readonly string[],
): Deployments {
  const found = new Map(containers.map(({ service, ...container }) => [service, container]));
  return Object.fromEntries(
    [...names].sort().flatMap((service) => {
      const [before, container] = [known?.[service], found.get(service)];
      if (container === undefined) return before === undefined ? [] : [[service, before]];
      return [[service, { ...container, firstCreatedAt: before?.firstCreatedAt ?? container.createdAt }]];
    }),
  );
}

/** Writes down each service as soon as its container is there, so that a half-done update is recorded as far as it came. */
export class DeploymentLog {
  private known: Deployments | undefined;
  private present: Promise<void> = Promise.resolve();
  private next: Promise<void> | undefined;

  /**
   * @param names services of the catalogue; others are dropped from the file.
   * @param look asks the Docker VM.
   */
  constructor(
    private readonly file: string,
    private readonly names: readonly string[],
    private readonly look: () => Promise<readonly DeployedContainer[]>,
  ) {
    this.known = knownDeployments(file);
  }

  /** Does nothing in a preview, and asks nothing where the file knows this container: it can't have changed. Gives when it is done. */
  record(name: string, containerId: pulumi.Output<string>): pulumi.Output<void> {
    return containerId.apply(async (id) => {
      if (pulumi.runtime.isDryRun() || this.known?.[name]?.containerId === id) return;
      await this.refresh();
    });
  }

  /** One look for everybody who asks while another is under way. */
  private async refresh(): Promise<void> {
    this.next ??= this.present.then(async () => {
      this.next = undefined;
      await this.lookOnce();
    });
    this.present = this.next;
    await this.next;
  }

  /** A record that can't be written now is no reason to fail an update; the next one writes it. */
  private async lookOnce(): Promise<void> {
    try {
      this.known = nextDeployments(this.known, await this.look(), this.names);
      this.write(this.known);
    } catch (error) {
      const cause = (error instanceof Error ? error.message : String(error)).replace(/\.+$/, "");
      await pulumi.log.warn(
        `Unable to record in ${this.file} what was deployed: ${cause}. Run pulumi up -s prod again; ` +
          "until then a drill of an older archive takes new containers for unexplained.",
      );
    }
  }

  private write(services: Deployments): void {
    const text = `${JSON.stringify({ formatVersion: 2, services }, undefined, 2)}\n`;
    mkdirSync(path.dirname(this.file), { recursive: true });
    const temporary = `${this.file}.${process.pid}.tmp`;
    writeFileSync(temporary, text);
    renameSync(temporary, this.file);
  }
}

/** What the file knows; one that can't be used is written anew, because the containers know it all but the first times. */
function knownDeployments(file: string): Deployments | undefined {
  try {
    return readDeployments(file);
  } catch {
    return undefined;
  }
}
