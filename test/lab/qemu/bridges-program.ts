/** Makes bridges twice in the current network namespace and prints what `ip` says of them. For a test. */
import { execFileSync } from "node:child_process";
import { setUpBridges } from "../../../lab/qemu";

async function main(): Promise<void> {
  const bridges = [
    { name: "vmbr7", vlanId: 30, addresses: ["10.30.0.1/22", "FD00:30:0::1/64", "fe80::1/64"] },
    { name: "vmbr99", addresses: [] },
  ];
  await setUpBridges(bridges);
  await setUpBridges(bridges);
  process.stdout.write(execFileSync("ip", ["-json", "address"], { encoding: "utf8" }));
}

main().catch((error: unknown) => {
  process.stderr.write(`${String(error)}\n`);
  process.exitCode = 1;
});
