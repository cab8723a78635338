/** An address with port, as it stands in a stack file. */
import { isIPv4, isIPv6 } from "node:net";
import { z } from "zod";

const ENDPOINT = "an IP address with port such as 1.1.1.1:443 or [2606:4700:4700::1111]:443";

/** Names are none: an isolated network has no DNS. */
export const endpointText = z.string(ENDPOINT).refine(isEndpoint, {
  error: ({ input }) => `${JSON.stringify(input)} is not accepted. Expected: ${ENDPOINT}.`,
});

/** Address and port of such a text. */
export function parseEndpoint(text: string): { address: string; port: number } {
  const colon = text.lastIndexOf(":");
  return { address: text.slice(0, colon).replace(/^\[|\]$/g, ""), port: Number(text.slice(colon + 1)) };
}

function isEndpoint(text: string): boolean {
  if (!/^(?:\[[^\]]+\]|[^:]+):\d{1,5}$/.test(text)) return false;
  const { address, port } = parseEndpoint(text);
  return (text.startsWith("[") ? isIPv6(address) : isIPv4(address)) && port >= 1 && port <= 65_535;
}
