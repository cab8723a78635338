/** What the containers on the Docker VM publish now, for the one question that only they can answer: whether their ports changed. */
import * as pulumi from "@pulumi/pulumi";
import type { DeployedContainer } from "../provider/contract/production";
import type { ServiceSpec } from "../services/spec";

/**
 * Ports by service. Empty where nobody needs to ask: without IPv6 each port has one address, and no order. Empty too where
 * the VM does not answer, as before it is made: then ports may show as a change that is none. `checkAccess` warns of a VM that
 * stands and is silent, so this is told only with `--debug`.
 */
export async function publishedNow(
  { ipv6, catalogue }: { ipv6: boolean; catalogue: readonly ServiceSpec[] },
  look: () => Promise<readonly DeployedContainer[]>,
): Promise<ReadonlyMap<string, readonly string[]>> {
  if (!ipv6 || catalogue.every(({ ports = [] }) => ports.length === 0)) return new Map();
  try {
    return new Map((await look()).map(({ service, ports }) => [service, ports]));
  } catch (error) {
    const cause = (error instanceof Error ? error.message : String(error)).replace(/\.+$/, "");
    await pulumi.log.debug(
      `Unable to ask the Docker VM which ports are published: ${cause}. They may show as changed.`,
    );
    return new Map();
  }
}
