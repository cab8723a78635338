/** Typed function of the module `homelab:index`. */
import * as pulumi from "@pulumi/pulumi";
import { accessSchema, type CheckAccessArgs } from "../contract/access";
import { CHECK_ACCESS } from "../tokens";

/**
 * Asks what the stack needs, at preview as well as at update, before anything is touched: Proxmox by its token and the
 * node's name, Cloudflare by the zone, the Docker VM by its SSH port.
 *
 * @throws RunError with every refusal; what may pass is a warning.
 */
export async function requireAccess(args: CheckAccessArgs): Promise<{ readonly lookAgain: boolean }> {
  const { problems, warnings, lookAgain } = accessSchema.parse(await pulumi.runtime.invoke(CHECK_ACCESS, { ...args }));
  for (const warning of warnings) await pulumi.log.warn(warning);
  if (problems.length > 0) throw new pulumi.RunError(problems.join("\n"));
  return { lookAgain: lookAgain === true };
}
