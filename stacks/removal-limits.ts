/** The configured limits of a removal, as the provider takes them. Loadable without the Pulumi SDK. */
import type { RemovalLimits } from "../provider/contract/run";
import type { DrillConfig } from "./config";

export function removalLimits({ stopSeconds, removeSeconds }: DrillConfig["timeouts"]): RemovalLimits {
  return { stopTimeoutSeconds: stopSeconds, removeTimeoutSeconds: removeSeconds };
}
