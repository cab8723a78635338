/**
 * The probes' script on real networks: two namespaces of this test's own, one that is a node with bridges, one that is a guest on
 * the bridge without address.
 *
 * What this does not prove: the question to all IPv6 nodes where this computer has no ping; the rehearsal's guests have one.
 */
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import type { Observation, ProbeTarget } from "../../provider/contract/isolation";
import { observationsOf, probeCommand } from "../../provider/isolation/observe";

const run = promisify(execFile);
jest.setTimeout(60_000);

const NODE = `homelab-probe-node-${process.pid}`;
const GUEST = `homelab-probe-guest-${process.pid}`;
const TARGETS: ProbeTarget[] = [
  { name: "gateway", address: "192.168.20.1", port: 53 },
  { name: "outside", address: "1.1.1.1", port: 443 },
  { name: "VM 200", address: "fe80::be24:11ff:fe00:1", port: 22 },
];

async function inNamespace(name: string, script: string): Promise<void> {
  await run("ip", ["netns", "exec", name, "sh", "-ec", script]);
}

/** The node has production's bridge with its address, and one without, on which the guest's cable ends. */
beforeEach(async () => {
  for (const name of [NODE, GUEST]) await run("ip", ["netns", "add", name]);
  await inNamespace(
    NODE,
    `ip link set lo up; ip address add 1.1.1.1/32 dev lo
     ip link add vmbr0 type bridge; ip address add 192.168.20.1/24 dev vmbr0; ip link set vmbr0 up
     ip link add vmbr99 type bridge; ip link set vmbr99 addrgenmode none up
     echo 2 >/proc/sys/net/ipv4/conf/vmbr99/rp_filter
     ip link add tap0 type veth peer name eth0 netns ${GUEST}
     ip link set tap0 addrgenmode none master vmbr99 up`,
  );
});
afterEach(async () => {
  for (const name of [NODE, GUEST]) await run("ip", ["netns", "delete", name]);
});

const GUEST_NETWORK =
  "ip link set lo up; ip address add 192.168.20.200/24 dev eth0; ip link set eth0 up; ip route add default via 192.168.20.1";

/** @param programs Folder whose programs come before all others. */
async function probe(waitSeconds = 10, programs = "/bin"): Promise<Observation[]> {
  // For the guest alone: a program of its may be called ip, and this computer's own must make the namespace.
  const path = `PATH=${programs}:${process.env["PATH"] ?? ""}`;
  const command = ["netns", "exec", GUEST, "env", path, ...probeCommand(TARGETS, waitSeconds)];
  const { stdout } = await run("ip", command);
  return observationsOf(stdout, TARGETS);
}

const outcomes = (seen: readonly Observation[]): string[] => seen.slice(0, 3).map(({ outcome }) => outcome);

test("on a bridge without port and address nobody answers", async () => {
  await inNamespace(GUEST, GUEST_NETWORK);
  expect(outcomes(await probe())).toEqual(["silent", "silent", "silent"]);
});

test("a node that answers for its other bridges' addresses (rp_filter=0) is found by its MAC address", async () => {
  await inNamespace(NODE, "echo 0 >/proc/sys/net/ipv4/conf/vmbr99/rp_filter");
  await inNamespace(GUEST, GUEST_NETWORK);
  const seen = await probe();
  expect(outcomes(seen)).toEqual(["answered", "silent", "silent"]);
  expect(seen[0]?.detail).toMatch(/^192\.168\.20\.1 has answered on layer 2 \(([0-9a-f]{2}:){5}[0-9a-f]{2}\)$/);
});

test("a guest that is on production's bridge in truth reaches gateway, outside and production's VM", async () => {
  await inNamespace(
    NODE,
    `ip link set tap0 master vmbr0
     ip link add vm200 address bc:24:11:00:00:01 type veth peer name tap1
     ip link set tap1 master vmbr0 up; ip link set vm200 up`,
  );
  await inNamespace(GUEST, GUEST_NETWORK);
  const seen = await probe();
  expect(outcomes(seen)).toEqual(["answered", "answered", "answered"]);
  expect(seen[2]?.detail).toBe("fe80::be24:11ff:fe00:1%eth0: Connection refused");
});

test("a network that comes up late is waited for, and one that never does is no silence", async () => {
  const late = inNamespace(GUEST, `sleep 2; ${GUEST_NETWORK}`);
  expect(outcomes(await probe())).toEqual(["silent", "silent", "silent"]);
  await late;
  await inNamespace(GUEST, "ip route del default; ip address flush dev eth0 scope global");
  const seen = await probe(1);
  expect(outcomes(seen)).toEqual(["not-sent", "not-sent", "silent"]);
  expect(seen[0]?.detail).toBe("Network is unreachable");
});

test("a guest whose link-local address comes after its other one is waited for", async () => {
  const late = inNamespace(
    GUEST,
    `ip link set eth0 addrgenmode none; ${GUEST_NETWORK}; sleep 2; echo 0 >/proc/sys/net/ipv6/conf/eth0/addr_gen_mode`,
  );
  expect(outcomes(await probe())).toEqual(["silent", "silent", "silent"]);
  await late;
});

/** A folder with a program of the guest's that answers as this script does. */
async function program(name: string, script: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "homelab-program-"));
  await writeFile(join(folder, name), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  return folder;
}

test("a wire that comes up between two looks is waited for, until its addresses are its own", async () => {
  const first = `PATH=\${PATH#*:}; ip "$@"; [ -e "$0.asked" ] && exit
touch "$0.asked"; [ "$(ip netns identify)" = ${GUEST} ] && { ${GUEST_NETWORK}; }`;
  const programs = await program("ip", first);
  expect(outcomes(await probe(10, programs))).toEqual(["silent", "silent", "silent"]);
  await rm(programs, { recursive: true });
});

/** As systemd's program says it once the guest has booted. */
const saysBooted = (): Promise<string> => program("systemctl", "echo running");

test("a guest that has booted and never gets a link-local address is asked all the same, before the time is over", async () => {
  const programs = await saysBooted();
  await inNamespace(GUEST, `ip link set eth0 addrgenmode none; ${GUEST_NETWORK}`);
  const began = performance.now();
  expect(outcomes(await probe(30, programs))).toEqual(["silent", "silent", "not-sent"]);
  expect(performance.now() - began).toBeLessThan(20_000);
  await rm(programs, { recursive: true });
});

test("a guest that has booted while it can send nothing is waited for all the same, to the end", async () => {
  const programs = await saysBooted();
  const late = inNamespace(GUEST, `sleep 3; ${GUEST_NETWORK}`);
  expect(outcomes(await probe(15, programs))).toEqual(["silent", "silent", "silent"]);
  await late;
  await inNamespace(GUEST, "ip link set eth0 down");
  const began = performance.now();
  const seen = await probe(5, programs);
  expect(performance.now() - began).toBeGreaterThan(4000);
  expect(seen.map(({ outcome }) => outcome)).toEqual(seen.map(() => "not-sent"));
  await rm(programs, { recursive: true });
});

test("a guest that has booted without an address asks at once over IPv6 link-local", async () => {
  const programs = await saysBooted();
  await inNamespace(GUEST, "ip link set lo up; ip link set eth0 up; sleep 3");
  const began = performance.now();
  expect(outcomes(await probe(30, programs))).toEqual(["not-sent", "not-sent", "silent"]);
  expect(performance.now() - began).toBeLessThan(20_000);
  await rm(programs, { recursive: true });
});

test("a gateway that the guest has from somewhere else is asked too", async () => {
  await inNamespace(GUEST, `${GUEST_NETWORK}; ip route replace default via 192.168.20.254`);
  const seen = await probe();
  expect(seen.find(({ probe: name }) => name === "its own gateway")).toMatchObject({ outcome: "silent" });
});
