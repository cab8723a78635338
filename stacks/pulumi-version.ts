/** Which versions of the Pulumi CLI run this program. */
import * as pulumi from "@pulumi/pulumi";

/** As a range of versions. `Pulumi.yaml` says the same to the CLIs that read it there. */
export const PULUMI_VERSIONS = ">=3.259.0";

/**
 * CLIs that are too old to read `requiredPulumiVersion` in `Pulumi.yaml` are too old to answer this.
 *
 * @throws RunError with what to install.
 */
export async function requirePulumi(stack: string, ask = pulumi.requirePulumiVersion): Promise<void> {
  try {
    await ask(PULUMI_VERSIONS);
  } catch (error) {
    const cause = error instanceof Error ? error.message.replace(/\.+$/, "") : String(error);
    const version = PULUMI_VERSIONS.replace(">=", "");
    throw new pulumi.RunError(
      `Unable to run stack ${stack}: ${cause}. Install a Pulumi CLI of version ${version} or newer.`,
    );
  }
}
