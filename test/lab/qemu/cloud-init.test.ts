import { createHash } from "node:crypto";

import { cloudInitFiles, cloudInitNetworkConfig, cloudInitUserData } from "../../../lab/qemu/cloud-init";

const noDns = { servers: [], search: [] };

describe("user data", () => {
  it("is what PVE writes for a named VM with a user and keys", () => {
    const config = {
      name: "docker",
      searchdomain: "example.net",
      ciuser: "ops",
      cipassword: "$5$salt$hash",
      sshkeys: encodeURIComponent("ssh-ed25519 AAAA+/= one@host\n\nssh-ed25519 BBBB two@host\n"),
      ciupgrade: "0",
    };
    expect(cloudInitUserData(200, config)).toBe(`#cloud-config
hostname: docker
manage_etc_hosts: true
fqdn: docker.example.net
user: ops
password: $5$salt$hash
ssh_authorized_keys:
  - ssh-ed25519 AAAA+/= one@host
  - ssh-ed25519 BBBB two@host
chpasswd:
  expire: False
users:
  - default
`);
  });

  it("upgrades packages and takes the VM's number as its name unless told otherwise", () => {
    expect(cloudInitUserData(200, {})).toBe(`#cloud-config
hostname: VM200
manage_etc_hosts: true
fqdn: VM200
chpasswd:
  expire: False
users:
  - default
package_upgrade: true
`);
  });

  it("cuts the host name at the first dot and lets root in", () => {
    const text = cloudInitUserData(200, { name: "a.b.c", searchdomain: "ignored.net", ciuser: "root", ciupgrade: "1" });
    expect(text).toContain("hostname: a\nmanage_etc_hosts: true\nfqdn: a.b.c\nuser: root\ndisable_root: False\n");
    expect(text).not.toContain("users:");
  });
});

describe("network configuration", () => {
  it("names cards by MAC, with static, automatic and IPv6 addresses", () => {
    const config = {
      net0: "virtio=BC:24:11:AA:BB:CC,bridge=vmbr0",
      ipconfig0: "ip=192.168.20.200/23,gw=192.168.20.1,ip6=2001:db8::2/64,gw6=2001:db8::1",
      net1: "virtio=BC:24:11:AA:BB:CD,bridge=vmbr0",
      ipconfig1: "ip=dhcp,ip6=auto",
      net2: "virtio=BC:24:11:AA:BB:CE,bridge=vmbr0",
      nameserver: "192.168.20.1 9.9.9.9",
      searchdomain: "example.net",
    };
    expect(cloudInitNetworkConfig(config, noDns)).toBe(`version: 1
config:
    - type: physical
      name: eth0
      mac_address: 'bc:24:11:aa:bb:cc'
      subnets:
      - type: static
        address: '192.168.20.200'
        netmask: '255.255.254.0'
        gateway: '192.168.20.1'
      - type: static6
        address: '2001:db8::2/64'
        gateway: '2001:db8::1'
    - type: physical
      name: eth1
      mac_address: 'bc:24:11:aa:bb:cd'
      subnets:
      - type: dhcp4
      - type: ipv6_slaac
    - type: nameserver
      address:
      - '192.168.20.1'
      - '9.9.9.9'
      search:
      - 'example.net'
`);
  });

  it("takes the node's resolver where the VM names none, and none where the node has none", () => {
    expect(cloudInitNetworkConfig({}, { servers: ["10.0.0.1"], search: ["lan"] })).toBe(
      "version: 1\nconfig:\n    - type: nameserver\n      address:\n      - '10.0.0.1'\n      search:\n      - 'lan'\n",
    );
    expect(cloudInitNetworkConfig({}, noDns)).toBe("version: 1\nconfig:\n");
  });

  it("refuses an address without a prefix, as PVE does", () => {
    const config = { net0: "virtio=BC:24:11:AA:BB:CC,bridge=vmbr0", ipconfig0: "ip=192.168.20.200" };
    expect(() => cloudInitNetworkConfig(config, noDns)).toThrow("not a CIDR: 192.168.20.200");
  });
});

describe("instance id", () => {
  const config = { name: "docker", net0: "virtio=BC:24:11:AA:BB:CC,bridge=vmbr0", ipconfig0: "ip=dhcp" };
  const id = (changes: Record<string, string>): string =>
    cloudInitFiles(200, { ...config, ...changes }, noDns)["meta-data"];

  it("is the hash of user data and network configuration", () => {
    const files = cloudInitFiles(200, config, noDns);
    const hash = createHash("sha1").update(`${files["user-data"]}${files["network-config"]}`).digest("hex");
    expect(files["meta-data"]).toBe(`instance-id: ${hash}\n`);
  });

  it("changes with name, MAC and address, and with nothing else", () => {
    const same: Record<string, string>[] = [
      {},
      { memory: "4096" },
      { net0: "virtio=BC:24:11:AA:BB:CC,bridge=vmbr99" },
      { onboot: "0" },
    ];
    expect(new Set(same.map(id)).size).toBe(1);
    const other: Record<string, string>[] = [
      { name: "drill-docker" },
      { net0: "virtio=BC:24:11:AA:BB:CD,bridge=vmbr0" },
      { ipconfig0: "ip=10.0.0.2/24" },
    ];
    expect(new Set([...same, ...other].map(id)).size).toBe(1 + other.length);
  });
});

it("refuses drives for other systems and snippets that it can't read", () => {
  expect(() => cloudInitFiles(200, { ostype: "win11" }, noDns)).toThrow(/VM 200.*configdrive2.*Use citype=nocloud/);
  expect(() => cloudInitFiles(200, { cicustom: "user=local:snippets/x.yaml" }, noDns)).toThrow(/cicustom/);
});
