/** Addresses beyond the homelab, played by the lab's node: they take connections and say nothing. */
import { createServer, isIPv6 } from "node:net";
import { runCommand } from "./run-command";
import { type LabSpec } from "./spec";

/**
 * Gives the addresses to the loopback of the lab's namespace, where guests reach them through their gateway, and listens.
 *
 * @throws Error when an address can't be had
 */
export async function startOutside(endpoints: NonNullable<LabSpec["outside"]>): Promise<AsyncDisposable> {
  const servers = endpoints.map(({ address, port }) => ({ address, port, server: createServer((peer) => peer.end()) }));
  for (const { address, port, server } of servers) {
    await giveAddress(address);
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(port, address, resolve);
    });
  }
  return {
    async [Symbol.asyncDispose]() {
      for (const { server } of servers) await new Promise((done) => server.close(done));
    },
  };
}

async function giveAddress(address: string): Promise<void> {
  // Nobody else is there who could have it: without the look for doubles IPv6 can be used at once.
  const [prefix, flags] = isIPv6(address) ? [128, ["nodad"]] : [32, []];
  await runCommand("ip", ["address", "replace", `${address}/${prefix}`, "dev", "lo", ...flags]);
}
