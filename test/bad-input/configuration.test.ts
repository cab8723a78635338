/** What an operator may write wrong in `Pulumi.yaml` and `Pulumi.<stack>.yaml`: one clear error each, with its exact text. */
import { type Edits, refusalOf } from "./project";

type Case = [input: string, kind: "prod" | "drill", edits: Edits, problem: string];

const CASES: Case[] = [
  [
    "unknown key",
    "drill",
    { stack: [["homelab:targets:", "homelab:targetz: 1\n  homelab:targets:"]] },
    "Pulumi.drill.yaml:8: homelab:targetz: unknown. Remove it or correct the spelling.",
  ],
  [
    "unknown field",
    "drill",
    { project: [["cores: 2", "cores: 2\n      core: 2"]] },
    "Pulumi.yaml:18: homelab:dockerVm.core: unknown. Remove it or correct the spelling.",
  ],
  [
    "misspelt namespace",
    "drill",
    { stack: [["homelab:targets:", "homlab:x: 1\n  homelab:targets:"]] },
    "Pulumi.drill.yaml:8: homlab:x: unknown. Remove it or correct the spelling; keys begin with homelab:.",
  ],
  [
    "missing address",
    "prod",
    { project: [["      address: 192.168.20.200/24\n", ""]] },
    "Pulumi.yaml:8: homelab:dockerVm.address: missing. Expected: an IPv4 address with prefix, such as 192.168.20.200/24.",
  ],
  [
    "missing section",
    "drill",
    { stack: [["  homelab:targets:\n    rtoMinutes: 240\n    rpoMinutes: 1500\n", ""]] },
    "Pulumi.drill.yaml: homelab:targets: missing. Expected: rtoMinutes, rpoMinutes.",
  ],
  [
    "text where a section belongs",
    "drill",
    { stack: [["homelab:targets:\n    rtoMinutes: 240\n    rpoMinutes: 1500", "homelab:targets: 4h"]] },
    'Pulumi.drill.yaml:8: homelab:targets: "4h" is not accepted. Expected: rtoMinutes, rpoMinutes.',
  ],
  [
    "address without prefix",
    "prod",
    { project: [["192.168.20.200/24", "192.168.20.200"]] },
    'Pulumi.yaml:13: homelab:dockerVm.address: "192.168.20.200" is not accepted. Expected: an IPv4 address with prefix, such as 192.168.20.200/24.',
  ],
  [
    "prefix that is none",
    "prod",
    { project: [["192.168.20.200/24", "192.168.20.200/33"]] },
    'Pulumi.yaml:13: homelab:dockerVm.address: "192.168.20.200/33" is not accepted. Expected: an IPv4 address with prefix, such as 192.168.20.200/24.',
  ],
  [
    "gateway of another network",
    "prod",
    { project: [["gateway: 192.168.20.1", "gateway: 192.168.21.1"]] },
    'Pulumi.yaml:14: homelab:dockerVm.gateway: "192.168.21.1" is not in the network of 192.168.20.200/24. Expected: the router\'s address in that network.',
  ],
  [
    "gateway that is the VM",
    "prod",
    { project: [["gateway: 192.168.20.1", "gateway: 192.168.20.200"]] },
    "Pulumi.yaml:14: homelab:dockerVm.gateway: \"192.168.20.200\" is the VM's own address. Expected: the router's address.",
  ],
  [
    "element of a list",
    "prod",
    { project: [["[192.168.20.1]", "[192.168.20.1, router]"]] },
    'Pulumi.yaml:15: homelab:dockerVm.nameservers[1]: "router" is not accepted. Expected: an IPv4 address such as 9.9.9.9.',
  ],
  [
    "private key in the place of the public one",
    "prod",
    {
      project: [
        ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEf7ap2n21p operator@desk", "-----BEGIN OPENSSH PRIVATE KEY-----"],
      ],
    },
    'Pulumi.yaml:21: homelab:dockerVm.sshAuthorizedKey: "-----BEGIN OPENSSH PRIVATE KEY-----" is not accepted. Expected: one line of an OpenSSH public key file, such as ssh-ed25519 AAAA… you@desk.',
  ],
  [
    "drill with production's VMID",
    "drill",
    { stack: [["vmId: 9200", "vmId: 200"]] },
    "Pulumi.drill.yaml:4: homelab:drill.vmId: 200 is production's VM (dockerVm.vmId). Expected: a VMID of the drill's own, such as 9200.",
  ],
  [
    "drill with production's name",
    "drill",
    { stack: [["name: docker-drill", "name: docker"]] },
    'Pulumi.drill.yaml:5: homelab:drill.name: "docker" is production\'s name (dockerVm.name). Expected: another name, such as docker-drill.',
  ],
  [
    "drill on production's bridge",
    "drill",
    { stack: [["vmbr99", "vmbr0"]] },
    'Pulumi.drill.yaml:6: homelab:drill.isolatedBridge: "vmbr0" is production\'s bridge (dockerVm.bridge). Expected: a bridge without port and address, such as vmbr99.',
  ],
  [
    "drill in production's pool",
    "drill",
    { stack: [["name: docker-drill", "name: docker-drill\n    pool: homelab-prod"]] },
    "Pulumi.drill.yaml:6: homelab:drill.pool: \"homelab-prod\" is production's pool (dockerVm.pool), and the drill's token may change every VM in its own. Expected: another pool, such as homelab-drill.",
  ],
  [
    "drill in a pool that production names",
    "drill",
    { project: [["name: docker\n", "name: docker\n      pool: homelab-drill\n"]] },
    "Pulumi.drill.yaml:3: homelab:drill.pool: \"homelab-drill\" is production's pool (dockerVm.pool), and the drill's token may change every VM in its own. Expected: another pool, such as homelab-drill.",
  ],
  [
    "pool with a space in its name",
    "prod",
    { project: [["name: docker\n", "name: docker\n      pool: my pool\n"]] },
    'Pulumi.yaml:12: homelab:dockerVm.pool: "my pool" is not accepted. Expected: a pool name such as homelab-prod.',
  ],
  [
    "a name as the outside, which an isolated network can't resolve",
    "drill",
    { stack: [["vmbr99", "vmbr99\n    outside: [one.one.one.one:443]"]] },
    'Pulumi.drill.yaml:7: homelab:drill.outside[0]: "one.one.one.one:443" is not accepted. Expected: an IP address with port such as 1.1.1.1:443 or [2606:4700:4700::1111]:443.',
  ],
  [
    "no outside at all",
    "drill",
    { stack: [["vmbr99", "vmbr99\n    outside: []"]] },
    "Pulumi.drill.yaml:7: homelab:drill.outside: [] is not accepted. Expected: at least one address with port.",
  ],
  [
    "no retention at all",
    "prod",
    {
      stack: [
        ["keepLast: 3", "keepLast: 0"],
        ["keepDaily: 7", "keepDaily: 0"],
        ["keepWeekly: 4", "keepWeekly: 0"],
      ],
    },
    "Pulumi.prod.yaml:7: homelab:backup: keepLast, keepDaily and keepWeekly are all 0, so every backup would go. Keep at least one.",
  ],
  [
    "unknown kind of storage",
    "prod",
    { stack: [["type: directory", "type: smb"]] },
    'Pulumi.prod.yaml:9: homelab:backup.storage.type: "smb" is not accepted. Expected: directory, nfs or existing.',
  ],
  [
    "checksum without its algorithm",
    "prod",
    { stack: [["storage: local\n", "storage: local\n    checksum: abc\n"]] },
    'Pulumi.prod.yaml:7: homelab:cloudImage.checksum: "abc" is not accepted. Expected: sha256:<64 hex digits> or sha512:<128 hex digits>.',
  ],
  [
    "zone by name",
    "prod",
    { stack: [["0123456789abcdef0123456789abcdef", "example.net"]] },
    'Pulumi.prod.yaml:18: homelab:dns.zoneId: "example.net" is not accepted. Expected: 32 hex digits, shown on the zone\'s overview page.',
  ],
  [
    "unknown kind",
    "prod",
    { stack: [["kind: prod", "kind: production"]] },
    'Pulumi.prod.yaml:2: homelab:kind: "production" is not accepted. Expected: prod, drill or restore.',
  ],
  [
    "missing secret",
    "prod",
    { stack: [["  homelab:postgresPassword:\n    secure: v1:x\n", ""]] },
    'Pulumi.prod.yaml: homelab:postgresPassword: this secret is missing. Run: pulumi config set -s prod --secret postgresPassword "$(openssl rand -hex 24)"',
  ],
  [
    "secret as plain text, whose value is not repeated",
    "prod",
    { stack: [["homelab:postgresPassword:\n    secure: v1:x", "homelab:postgresPassword: hunter2"]] },
    'Pulumi.prod.yaml:23: homelab:postgresPassword: this secret is stored as plain text. Run: pulumi config set -s prod --secret postgresPassword "$(openssl rand -hex 24)"',
  ],
  [
    "credentials of Proxmox in the stack",
    "drill",
    { stack: [["homelab:targets:", "proxmoxve:apiToken: x\n  homelab:targets:"]] },
    "Pulumi.drill.yaml:8: proxmoxve:apiToken: not accepted in stack configuration. Remove it (pulumi config rm proxmoxve:apiToken) and set PROXMOX_VE_ENDPOINT and PROXMOX_VE_API_TOKEN in the environment.",
  ],
  [
    "credentials of Cloudflare in the stack",
    "prod",
    { stack: [["homelab:dns:", "cloudflare:apiToken:\n    secure: v1:x\n  homelab:dns:"]] },
    "Pulumi.prod.yaml:17: cloudflare:apiToken: not accepted in stack configuration. Remove it (pulumi config rm cloudflare:apiToken) and set CLOUDFLARE_API_TOKEN in the environment.",
  ],
  [
    "Docker's host in the project",
    "prod",
    { project: [["homelab:node:", "docker:host:\n    value: ssh://x\n  homelab:node:"]] },
    "Pulumi.yaml:4: docker:host: not accepted in stack configuration. Remove it (pulumi config rm docker:host).",
  ],
];

test.each(CASES)("%s", (_, kind, edits, problem) => {
  expect(refusalOf(kind, edits)).toBe(`Unable to use the configuration of stack ${kind}: 1 problem.\n- ${problem}`);
});

describe("odd YAML", () => {
  const odd: Case[] = [
    [
      "number as text",
      "prod",
      { project: [["vmId: 200", 'vmId: "200"']] },
      'Pulumi.yaml:10: homelab:dockerVm.vmId: "200" is not accepted. Expected: a VMID from 100 to 999999999.',
    ],
    [
      "text with a unit",
      "prod",
      { project: [["memoryMiB: 2048", "memoryMiB: 2G"]] },
      'Pulumi.yaml:18: homelab:dockerVm.memoryMiB: "2G" is not accepted. Expected: a whole number of MiB from 512 to 16777216.',
    ],
    [
      "fraction",
      "prod",
      { project: [["cores: 2", "cores: 1.5"]] },
      "Pulumi.yaml:17: homelab:dockerVm.cores: 1.5 is not accepted. Expected: a whole number of cores from 1 to 512.",
    ],
    [
      "boolean",
      "prod",
      { project: [["storage: local-lvm", "storage: true"]] },
      "Pulumi.yaml:16: homelab:dockerVm.storage: true is not accepted. Expected: a Proxmox id such as local-lvm.",
    ],
    [
      "key without a value",
      "prod",
      { project: [["storage: local-lvm", "storage:"]] },
      "Pulumi.yaml:16: homelab:dockerVm.storage: null is not accepted. Expected: a Proxmox id such as local-lvm.",
    ],
    [
      "top key without a value",
      "drill",
      { project: [["value: example.net", "value:"]] },
      'Pulumi.yaml:6: homelab:zone: "" is not accepted. Expected: a domain such as example.net.',
    ],
    [
      "list where one value belongs",
      "prod",
      { project: [["address: 192.168.20.200/24", "address: [192.168.20.200/24]"]] },
      'Pulumi.yaml:13: homelab:dockerVm.address: ["192.168.20.200/24"] is not accepted. Expected: an IPv4 address with prefix, such as 192.168.20.200/24.',
    ],
    [
      "one value where a list belongs",
      "prod",
      { project: [["nameservers: [192.168.20.1]", "nameservers: 192.168.20.1"]] },
      'Pulumi.yaml:15: homelab:dockerVm.nameservers: "192.168.20.1" is not accepted. Expected: a list of IPv4 addresses.',
    ],
  ];
  test.each(odd)("%s", (_, kind, edits, problem) => {
    expect(refusalOf(kind, edits)).toBe(`Unable to use the configuration of stack ${kind}: 1 problem.\n- ${problem}`);
  });
});

describe("the environment", () => {
  const ENDPOINT = "Expected: https://<node>:8006/, without a path.";
  const TOKEN = "Expected: <user>@<realm>!<name>=<uuid>.";
  test.each<[string, "prod" | "drill", Record<string, string | undefined>, string]>([
    ["no endpoint", "drill", { PROXMOX_VE_ENDPOINT: undefined }, `PROXMOX_VE_ENDPOINT: missing. ${ENDPOINT}`],
    [
      "endpoint without scheme",
      "drill",
      { PROXMOX_VE_ENDPOINT: "pve:8006" },
      `PROXMOX_VE_ENDPOINT: "pve:8006" is not accepted. ${ENDPOINT}`,
    ],
    [
      "endpoint by http",
      "drill",
      { PROXMOX_VE_ENDPOINT: "http://pve:8006" },
      `PROXMOX_VE_ENDPOINT: "http://pve:8006" is not accepted. ${ENDPOINT}`,
    ],
    [
      "endpoint with the API's path",
      "drill",
      { PROXMOX_VE_ENDPOINT: "https://pve:8006/api2/json" },
      `PROXMOX_VE_ENDPOINT: "https://pve:8006/api2/json" is not accepted. ${ENDPOINT}`,
    ],
    [
      "endpoint with a password, which is not repeated",
      "drill",
      { PROXMOX_VE_ENDPOINT: "https://root:hunter2@pve:8006/" },
      `PROXMOX_VE_ENDPOINT: "https://…@pve:8006/" is not accepted. ${ENDPOINT}`,
    ],
    ["no token", "drill", { PROXMOX_VE_API_TOKEN: "" }, `PROXMOX_VE_API_TOKEN: missing. ${TOKEN}`],
    [
      "only the token's secret",
      "drill",
      { PROXMOX_VE_API_TOKEN: "11111111-2222-3333-4444-555555555555" },
      `PROXMOX_VE_API_TOKEN: the value (not shown) is not accepted. ${TOKEN}`,
    ],
    [
      "the token with its header's word",
      "drill",
      { PROXMOX_VE_API_TOKEN: "PVEAPIToken=a@pve!b1=11111111-2222-3333-4444-555555555555" },
      `PROXMOX_VE_API_TOKEN: the value (not shown) is not accepted. ${TOKEN}`,
    ],
    [
      "no token of Cloudflare",
      "prod",
      { CLOUDFLARE_API_TOKEN: undefined },
      "CLOUDFLARE_API_TOKEN: missing. Expected: an API token with Zone.DNS:Edit on the zone.",
    ],
    [
      "Cloudflare's token with its header's word",
      "prod",
      { CLOUDFLARE_API_TOKEN: "Bearer abc" },
      'CLOUDFLARE_API_TOKEN: the value (not shown) is not accepted. Expected: an API token of letters, digits, _ and -, without "Bearer".',
    ],
    [
      "certificates not verified by the public provider",
      "drill",
      { PROXMOX_VE_INSECURE: "true" },
      'PROXMOX_VE_INSECURE: "true" would leave certificates unverified. Expected: unset, with the cluster\'s CA in the file that SSL_CERT_FILE and NODE_EXTRA_CA_CERTS name.',
    ],
    [
      "certificates not verified by Node",
      "drill",
      { NODE_TLS_REJECT_UNAUTHORIZED: "0" },
      'NODE_TLS_REJECT_UNAUTHORIZED: "0" would leave certificates unverified. Expected: unset, with the cluster\'s CA in the file that SSL_CERT_FILE and NODE_EXTRA_CA_CERTS name.',
    ],
    [
      "a CA file that is not there",
      "drill",
      { NODE_EXTRA_CA_CERTS: "/nowhere/ca.pem" },
      "NODE_EXTRA_CA_CERTS: \"/nowhere/ca.pem\" can't be read. Expected: a PEM file with the cluster's CA.",
    ],
  ])("%s", (_, kind, environment, problem) => {
    expect(refusalOf(kind, { environment })).toBe(
      `Unable to use the configuration of stack ${kind}: 1 problem.\n- environment: ${problem}`,
    );
  });

  test("a drill needs no Cloudflare", () => {
    expect(() => refusalOf("drill", { environment: { CLOUDFLARE_API_TOKEN: undefined } })).toThrow("accepted");
  });
});

test("all problems of both files and the environment in one message, in the order of their places", () => {
  const message = refusalOf("drill", {
    project: [
      ["cores: 2", "core: 2"],
      ["value: example.net", "value: example"],
      ["gateway: 192.168.20.1", "gateway: 10.0.0.1"],
    ],
    stack: [
      ["vmId: 9200", "vmId: 200"],
      ["vmbr99", "vmbr0"],
      ["rtoMinutes: 240", "rtoMinutes: -1"],
      ["canarySkewSeconds: 5", "canarySkewSeconds: 5\n  docker:host: ssh://x"],
    ],
    environment: { PROXMOX_VE_ENDPOINT: undefined },
  });
  expect(message).toBe(
    [
      "Unable to use the configuration of stack drill: 9 problems.",
      '- Pulumi.yaml:6: homelab:zone: "example" is not accepted. Expected: a domain such as example.net.',
      "- Pulumi.yaml:8: homelab:dockerVm.cores: missing. Expected: a whole number of cores from 1 to 512.",
      '- Pulumi.yaml:14: homelab:dockerVm.gateway: "10.0.0.1" is not in the network of 192.168.20.200/24. Expected: the router\'s address in that network.',
      "- Pulumi.yaml:17: homelab:dockerVm.core: unknown. Remove it or correct the spelling.",
      "- Pulumi.drill.yaml:4: homelab:drill.vmId: 200 is production's VM (dockerVm.vmId). Expected: a VMID of the drill's own, such as 9200.",
      '- Pulumi.drill.yaml:6: homelab:drill.isolatedBridge: "vmbr0" is production\'s bridge (dockerVm.bridge). Expected: a bridge without port and address, such as vmbr99.',
      "- Pulumi.drill.yaml:9: homelab:targets.rtoMinutes: -1 is not accepted. Expected: a number of minutes above 0.",
      "- Pulumi.drill.yaml:17: docker:host: not accepted in stack configuration. Remove it (pulumi config rm docker:host).",
      "- environment: PROXMOX_VE_ENDPOINT: missing. Expected: https://<node>:8006/, without a path.",
    ].join("\n"),
  );
});

test("a stack without a kind is still judged by what every stack has", () => {
  const message = refusalOf("drill", {
    project: [["value: pve", "value: PVE 1"]],
    stack: [["  homelab:kind: drill\n", ""]],
  });
  expect(message).toBe(
    "Unable to use the configuration of stack drill: 2 problems.\n" +
      '- Pulumi.yaml:4: homelab:node: "PVE 1" is not accepted. Expected: a lower-case DNS label such as docker.\n' +
      "- Pulumi.drill.yaml: homelab:kind: missing. Expected: prod, drill or restore.",
  );
});
