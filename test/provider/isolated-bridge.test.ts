import { setImmediate } from "node:timers/promises";
import { isolationProblems, problemsOfBridge } from "../../provider/isolated-bridge";
import { PveClient } from "../../pve/client";
import type { NodeInterface } from "../../pve/nodes/network";
import { FakeDrill } from "./support/fake-drill";

let fake: FakeDrill;
beforeEach(async () => {
  fake = await FakeDrill.make();
});
afterEach(async () => fake[Symbol.asyncDispose]());

const ADVICE =
  "A drill needs a bridge without ports, addresses and other guests: make one by hand, and apply the node's changes.";

test.each([
  ["a port", { bridge_ports: "eno2" }, "it has the port eno2"],
  ["an address", { cidr: "10.0.0.1/24" }, "it has the address 10.0.0.1/24"],
  ["no existence", { iface: "vmbr98" }, "it does not exist, or the token may not use it"],
  ["no life", { active: undefined }, "it is declared, but not active"],
])("a bridge with %s is refused before anything is restored", async (_, change, text) => {
  fake.pve.interfaces = fake.pve.interfaces.map((item) => (item["iface"] === "vmbr99" ? { ...item, ...change } : item));
  const { verdict } = await fake.drill();
  await expect(verdict).rejects.toThrow(text);
  expect(fake.pve.writes).toEqual([]);
});

function router(status: "running" | "stopped"): { config: Record<string, string>; status: "running" | "stopped" } {
  return { config: { name: "router", net0: "virtio=A,bridge=vmbr0", net1: "virtio=B,bridge=vmbr99" }, status };
}

test.each([
  ["running VM", () => fake.pve.vms.set(300, router("running")), "VM 300 (router) is on it"],
  ["stopped VM", () => fake.pve.vms.set(300, router("stopped")), "VM 300 (router) is on it"],
  [
    "container",
    () => fake.pve.containers.set(301, { hostname: "dns", net0: "name=eth0,bridge=vmbr99,ip=dhcp", lxc: [["a", "b"]] }),
    "container 301 (dns) is on it",
  ],
])("a %s on the bridge could be a way out and is named", async (_, add, text) => {
  fake.pve.vms.set(200, {
    config: { name: "docker", net0: "virtio=BC:24:11:00:00:01,bridge=vmbr0" },
    status: "running",
  });
  add();
  await expect((await fake.drill()).verdict).rejects.toThrow(
    `Unable to restore into bridge vmbr99 of node pve: ${text}. ${ADVICE}`,
  );
  expect(fake.pve.writes).toEqual([]);
});

test("a token that may not see guests proves nothing about neighbours", async () => {
  delete fake.pve.privileges["/vms"];
  await expect((await fake.drill()).verdict).rejects.toThrow(
    "whether other guests are on it can't be told, because the token lacks VM.Audit on /vms",
  );
});

test.each([
  ["does not reach them", { "/vms": { "VM.Audit": 0 } }, "whether other guests are on it", "VM.Audit on /vms/*"],
  ["leaves one out", { "/vms/300": { "VM.Backup": 1 } }, "whether other guests are on it", "VM.Audit on /vms/300"],
  [
    "leaves a bridge out",
    { "/sdn/zones/localnetwork/vmbr0": { "SDN.Allocate": 1 } },
    "whether it is a port of another bridge",
    "SDN.Audit on /sdn/zones/localnetwork/vmbr0",
  ],
])("sight that %s proves nothing either", async (_, privileges, what, missing) => {
  Object.assign(fake.pve.privileges, privileges);
  await expect((await fake.drill()).verdict).rejects.toThrow(
    `Unable to restore into bridge vmbr99 of node pve: ${what} can't be told, because the token lacks ${missing}. ${ADVICE}`,
  );
  expect(fake.pve.writes).toEqual([]);
});

test("neighbours are looked at side by side, a few at once, and named in their order", async () => {
  for (let vmId = 300; vmId < 330; vmId++) {
    const bridge = vmId === 305 || vmId === 329 ? "vmbr99" : "vmbr0";
    fake.pve.vms.set(vmId, { config: { name: `g${vmId}`, net0: `virtio=A,bridge=${bridge}` }, status: "stopped" });
  }
  let [underWay, most] = [0, 0];
  const slow: typeof fetch = async (input, init) => {
    most = Math.max(most, ++underWay);
    await setImmediate();
    underWay--;
    return fake.pve.answer(new URL(input instanceof Request ? input.url : input), init);
  };
  const credentials = { endpoint: "https://fake:8006", token: "root@pam!t=00000000-0000-4000-8000-000000000000" };
  const client = new PveClient(() => credentials, slow);
  const problems = await problemsOfBridge(client, { node: "pve", name: "vmbr99", ownVmId: 9200 });
  expect(problems).toEqual(["VM 305 (g305) is on it", "VM 329 (g329) is on it"]);
  expect(most).toBe(8);
});

test("changes of the node's network that are not applied are a refusal", async () => {
  fake.pve.networkChanges = "--- /etc/network/interfaces\n+++ /etc/network/interfaces.new\n";
  await expect((await fake.drill()).verdict).rejects.toThrow(
    `Unable to restore into bridge vmbr99 of node pve: the node has network changes that are not applied yet. ${ADVICE}`,
  );
});

test.each<[string, NodeInterface, string]>([
  [
    "a VLAN of another name",
    { iface: "lab", type: "vlan", "vlan-raw-device": "vmbr99" },
    "it has the VLAN interface lab",
  ],
  ["a VLAN by its name", { iface: "vmbr99.5", type: "vlan" }, "it has the VLAN interface vmbr99.5"],
  [
    "an Open vSwitch port",
    { iface: "eno3", type: "OVSPort", ovs_bridge: "vmbr99" },
    "it has the Open vSwitch port eno3",
  ],
  ["a bridge above it", { iface: "vmbr7", type: "bridge", bridge_ports: "eno4 vmbr99" }, "it is a port of vmbr7"],
])("%s is seen although it stands in another entry", (_, entry, text) => {
  const bridge = { iface: "vmbr99", type: "bridge", bridge_ports: "", active: true };
  expect(isolationProblems({ interfaces: [bridge, entry], unappliedChanges: "" }, "vmbr99")).toEqual([text]);
  expect(isolationProblems({ interfaces: [bridge], unappliedChanges: "" }, "vmbr99")).toEqual([]);
});
