/**
 * The proof of isolation as a drill makes it, on real networks: Pulumi, the provider, the lab's API and restore engine, and two
 * guests that are shells in network namespaces, whose cables end on the bridge that their machine was started with.
 *
 * What this does not prove: the controls, because nobody can log in at a shell, and the question to all IPv6 nodes where this
 * computer has no ping. The rehearsal has both.
 */
import { execFileSync } from "node:child_process";
import type { ProbeResult } from "../../provider/contract/isolation";
import { DRILL_VM, expectUndisturbed, FaultLab, PROD_VM } from "./fault-lab";
import { ShellGuest } from "./shell-guest";

jest.setTimeout(300_000);

const NODE = `homelab-way-out-${process.pid}`;
const guestOn = (vmId: number): string => `${NODE}-${vmId}`;

function inNamespace(name: string, script: string): void {
  execFileSync("ip", ["netns", "exec", name, "sh", "-ec", script]);
}

/** A guest with production's address, plugged before each command into the bridge that its machine really has. */
function pluggedGuest(vmId: number, macAddress: string): ShellGuest {
  const cable = `tap${vmId}`;
  execFileSync("ip", ["netns", "add", guestOn(vmId)]);
  inNamespace(NODE, `ip link add ${cable} type veth peer name eth0 address ${macAddress} netns ${guestOn(vmId)}`);
  inNamespace(
    guestOn(vmId),
    "ip link set lo up; ip address add 192.168.20.200/24 dev eth0; ip link set eth0 up; ip route add default via 192.168.20.1",
  );
  return new ShellGuest(undefined, () => {
    const bridge = /bridge=(\w+)/.exec(lab.api.machines.running.get(vmId)?.["net0"] ?? "")?.[1] ?? "";
    inNamespace(NODE, `ip link set ${cable} addrgenmode none master ${bridge} up`);
    return guestOn(vmId);
  });
}

let lab: FaultLab;
beforeAll(async () => {
  lab = await FaultLab.start();
  execFileSync("ip", ["netns", "add", NODE]);
  inNamespace(
    NODE,
    `ip link set lo up; ip address add 1.1.1.1/32 dev lo
     ip link add vmbr0 type bridge; ip address add 192.168.20.1/24 dev vmbr0; ip link set vmbr0 up
     ip link add vmbr99 type bridge; ip link set vmbr99 addrgenmode none up
     echo 2 >/proc/sys/net/ipv4/conf/vmbr99/rp_filter`,
  );
  const mac = /virtio=([0-9A-F:]+)/.exec(lab.api.lab.guests.read(PROD_VM).current["net0"] ?? "")?.[1] ?? "";
  const { agents } = lab.api.machines;
  agents.set(PROD_VM, pluggedGuest(PROD_VM, mac));
  agents.set(DRILL_VM, pluggedGuest(DRILL_VM, "bc:24:11:99:99:99"));
  // Nothing runs in production's guest by itself: one command plugs it in.
  await agents.get(PROD_VM)?.execute("guest-exec", { path: "true" });
});
beforeEach(() => lab.reset());
afterAll(async () => {
  for (const name of [guestOn(PROD_VM), guestOn(DRILL_VM), NODE]) execFileSync("ip", ["netns", "delete", name]);
  lab.printCounts();
  await lab[Symbol.asyncDispose]();
});

const outcomes = (probes: readonly ProbeResult[]): string[] =>
  probes.map(({ probe, outcome }) => `${probe.replace(/fe80::[0-9a-f:]+/, "link-local")}: ${outcome}`);

test("on the isolated bridge nothing answers, and that nobody could be asked for a control is a finding", async () => {
  const outcome = await lab.up();
  expectUndisturbed(outcome);
  expect(outcomes(outcome.evidence?.isolation ?? []).slice(0, 4)).toEqual([
    ...["gateway 192.168.20.1:53: silent", "VM 200 [link-local]:22: silent"],
    ...["Proxmox API 192.168.20.1:8006: silent", "outside 1.1.1.1:443: silent"],
  ]);
  expect(outcome.evidence?.findings.join("\n")).toContain("No positive control: ");
  await lab.expectCleanEnd();
});

test("way-out: what Proxmox does not show is found from inside; the VM is stopped before any check, and production is as it was", async () => {
  lab.faults.on("way-out", { vm: DRILL_VM });
  const { code, evidence, writes } = await lab.up();
  expect([code === 0, evidence?.verdict]).toEqual([false, "failed"]);
  expect(lab.api.lab.guests.read(DRILL_VM).current["net0"]).toContain("bridge=vmbr99");
  expect(evidence?.reasons.join("\n")).toMatch(
    /phase isolation failed: VM 9200 has a way out of its isolated network: gateway 192\.168\.20\.1:53 answered .*It was stopped before any service was checked\./,
  );
  expect(outcomes(evidence?.isolation ?? []).slice(0, 3)).toEqual([
    ...[
      "gateway 192.168.20.1:53: answered",
      "VM 200 [link-local]:22: answered",
      "Proxmox API 192.168.20.1:8006: answered",
    ],
  ]);
  expect(evidence?.checks.map(({ status }) => status)).toEqual(["skipped"]);
  expect(writes.at(-1)).toMatch(/POST \S+\/qemu\/9200\/status\/stop$/);
  expect([...lab.api.machines.running.keys()]).toEqual([PROD_VM]);
  await lab.expectCleanEnd();
});
