/** The addresses beyond the homelab that no drill may reach. Pure. */
import type { Endpoint } from "../provider/contract/isolation";
import type { DrillConfig } from "./config";
import { parseEndpoint } from "./endpoint-schema";

/** Public name servers that also answer on the port of HTTPS, by address because a drill has no DNS. */
const DEFAULT_IPV4 = "1.1.1.1:443";
const DEFAULT_IPV6 = "[2606:4700:4700::1111]:443";

/** What the configuration says, else a well-known address of each IP version that the VM has. */
export function outsideOf({ drill, dockerVm }: DrillConfig): Endpoint[] {
  const texts = drill.outside ?? [DEFAULT_IPV4, ...(dockerVm.ipv6 === undefined ? [] : [DEFAULT_IPV6])];
  return texts.map(parseEndpoint);
}
