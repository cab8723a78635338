import { readFileSync } from "node:fs";
import path from "node:path";
import { parse } from "yaml";
import { loadCatalogue } from "../../services/catalogue";
import { dockerVmAddress, parseConfig, rootCertificateFile, type StackConfig } from "../../stacks/config";
import { readRawConfig } from "../../stacks/raw-config";

const root = path.resolve(__dirname, "../..");
const catalogue = loadCatalogue();
const SECRETS = ["minifluxAdminPassword", "postgresPassword"];

function committed(stack: string): Record<string, string> {
  const read = (file: string): unknown => parse(readFileSync(path.join(root, file), "utf8"));
  return readRawConfig(read("Pulumi.yaml"), read(`Pulumi.${stack}.yaml`)).raw;
}

const raw = {
  prod: { ...committed("prod"), ...Object.fromEntries(SECRETS.map((key) => [`homelab:${key}`, ""])) },
  drill: committed("drill"),
};

function run(stack: string, values: Readonly<Record<string, string>>, secretKeys = SECRETS): StackConfig {
  return parseConfig(values, { stack, projectDir: "/repo", secretKeys: new Set(secretKeys), catalogue });
}

function failure(stack: string, values: Readonly<Record<string, string>>, secretKeys = SECRETS): string {
  try {
    run(stack, values, secretKeys);
  } catch (error) {
    expect(error).toHaveProperty("__pulumiRunError", true);
    return (error as Error).message;
  }
  throw new Error("parseConfig accepted the configuration");
}

/** One structured key with some of its fields replaced; `undefined` removes a field. */
function change(values: Record<string, string>, key: string, fields: Record<string, unknown>): Record<string, string> {
  const object = JSON.parse(values[`homelab:${key}`] ?? "{}") as Record<string, unknown>;
  return { ...values, [`homelab:${key}`]: JSON.stringify({ ...object, ...fields }) };
}

describe("the committed files", () => {
  test("prod is complete but for its secrets", () => {
    expect(failure("prod", committed("prod"), [])).toBe(
      "Unable to use the configuration of stack prod: 2 problems.\n" +
        "- homelab:minifluxAdminPassword: this secret is missing. " +
        'Run: pulumi config set -s prod --secret minifluxAdminPassword "$(openssl rand -hex 24)"\n' +
        "- homelab:postgresPassword: this secret is missing. " +
        'Run: pulumi config set -s prod --secret postgresPassword "$(openssl rand -hex 24)"',
    );
  });

  test("prod keeps what the backup concept asks for", () => {
    expect(run("prod", raw.prod)).toMatchObject({
      kind: "prod",
      dockerVm: { vmId: 200 },
      backupStorage: "nas",
      backup: { mode: "snapshot", keepLast: 3, keepDaily: 7, keepWeekly: 4 },
    });
  });

  test("drill needs no secret and shares neither VMID, name nor bridge with prod", () => {
    const config = run("drill", raw.drill, []);
    expect(config).toMatchObject({
      kind: "drill",
      drill: { vmId: 9200, name: "docker-drill", isolatedBridge: "vmbr99" },
    });
  });

  test("files are found from the project folder, and the operator's home stays a name", () => {
    const config = run("drill", raw.drill, []);
    expect(config.files).toEqual({
      evidence: "/repo/drills",
      trust: "/repo/trust",
      knownHosts: "~/.homelab/known_hosts",
    });
    expect(rootCertificateFile(config)).toBe("/repo/trust/example.net-proxy-root.pem");
    expect(dockerVmAddress(config)).toBe("192.168.20.200");
  });
});

describe("one problem each", () => {
  test.each<[string, "prod" | "drill", Record<string, string>, string]>([
    [
      "unknown key",
      "drill",
      { ...raw.drill, "homelab:drils": "x" },
      "homelab:drils: unknown. Remove it or correct the spelling.",
    ],
    [
      "unknown field",
      "drill",
      change(raw.drill, "dockerVm", { vmid: 200 }),
      "homelab:dockerVm.vmid: unknown. Remove it or correct the spelling.",
    ],
    [
      "missing address",
      "prod",
      change(raw.prod, "dockerVm", { address: undefined }),
      "homelab:dockerVm.address: missing. Expected: an IPv4 address with prefix, such as 192.168.20.200/24.",
    ],
    [
      "address without prefix",
      "prod",
      change(raw.prod, "dockerVm", { address: "192.168.20.200" }),
      'homelab:dockerVm.address: "192.168.20.200" is not accepted. Expected: an IPv4 address with prefix, such as 192.168.20.200/24.',
    ],
    [
      "gateway of another network",
      "prod",
      change(raw.prod, "dockerVm", { gateway: "192.168.21.1" }),
      'homelab:dockerVm.gateway: "192.168.21.1" is not in the network of 192.168.20.200/24. Expected: the router\'s address in that network.',
    ],
    [
      "gateway that is the VM",
      "prod",
      change(raw.prod, "dockerVm", { gateway: "192.168.20.200" }),
      "homelab:dockerVm.gateway: \"192.168.20.200\" is the VM's own address. Expected: the router's address.",
    ],
    [
      "VMID as text",
      "prod",
      change(raw.prod, "dockerVm", { vmId: "200" }),
      'homelab:dockerVm.vmId: "200" is not accepted. Expected: a whole number.',
    ],
    [
      "private key in the place of the public one",
      "prod",
      change(raw.prod, "dockerVm", { sshAuthorizedKey: "-----BEGIN OPENSSH PRIVATE KEY-----" }),
      'homelab:dockerVm.sshAuthorizedKey: "-----BEGIN OPENSSH PRIVATE KEY-----" is not accepted. Expected: one line of an OpenSSH public key file, such as ssh-ed25519 AAAA… you@desk.',
    ],
    [
      "drill with production's VMID",
      "drill",
      change(raw.drill, "drill", { vmId: 200 }),
      "homelab:drill.vmId: 200 is production's VM (dockerVm.vmId). Expected: a VMID of the drill's own, such as 9200.",
    ],
    [
      "drill on production's bridge",
      "drill",
      change(raw.drill, "drill", { isolatedBridge: "vmbr0" }),
      'homelab:drill.isolatedBridge: "vmbr0" is production\'s bridge (dockerVm.bridge). Expected: a bridge without port and address, such as vmbr99.',
    ],
    [
      "drill with production's name",
      "drill",
      change(raw.drill, "drill", { name: "docker" }),
      'homelab:drill.name: "docker" is production\'s name (dockerVm.name). Expected: another name, such as docker-drill.',
    ],
    [
      "archive that is none",
      "drill",
      change(raw.drill, "drill", { archive: "latest" }),
      'homelab:drill.archive: "latest" is not accepted. Expected: a volume id such as nas:backup/vzdump-qemu-200-….vma.zst.',
    ],
    [
      "archive of another storage",
      "drill",
      change(raw.drill, "drill", { archive: "usb:backup/vzdump-qemu-200-2026_11_20-02_00_00.vma.zst" }),
      'homelab:drill.archive: "usb:backup/vzdump-qemu-200-2026_11_20-02_00_00.vma.zst" is not on the storage of the archives. Expected: one of nas:backup/.',
    ],
    [
      "no retention at all",
      "prod",
      change(raw.prod, "backup", { keepLast: 0, keepDaily: 0, keepWeekly: 0 }),
      "homelab:backup: keepLast, keepDaily and keepWeekly are all 0, so every backup would go. Keep at least one.",
    ],
    [
      "unknown kind of storage",
      "prod",
      change(raw.prod, "backup", { storage: { type: "smb" } }),
      'homelab:backup.storage.type: "smb" is not accepted. Expected: directory, nfs or existing.',
    ],
    [
      "checksum without its algorithm",
      "prod",
      change(raw.prod, "cloudImage", { checksum: "abc" }),
      'homelab:cloudImage.checksum: "abc" is not accepted. Expected: sha256:<64 hex digits> or sha512:<128 hex digits>.',
    ],
    [
      "zone by name",
      "prod",
      change(raw.prod, "dns", { zoneId: "example.net" }),
      'homelab:dns.zoneId: "example.net" is not accepted. Expected: 32 hex digits, shown on the zone\'s overview page.',
    ],
    [
      "unknown kind",
      "prod",
      { ...raw.prod, "homelab:kind": "production" },
      'homelab:kind: "production" is not accepted. Expected: prod or drill.',
    ],
    [
      "provider credentials in the configuration",
      "drill",
      { ...raw.drill, "proxmoxve:apiToken": "x" },
      "proxmoxve:apiToken: not accepted in stack configuration. Remove it (pulumi config rm proxmoxve:apiToken) and set PROXMOX_VE_ENDPOINT and PROXMOX_VE_API_TOKEN in the environment.",
    ],
    [
      "text where a structure belongs",
      "drill",
      { ...raw.drill, "homelab:targets": "4h" },
      'homelab:targets: "4h" is not accepted. Expected: an object.',
    ],
  ])("%s", (_, stack, values, problem) => {
    expect(failure(stack, values)).toBe(`Unable to use the configuration of stack ${stack}: 1 problem.\n- ${problem}`);
  });

  test("a secret stored as plain text, without its value in the message", () => {
    const message = failure("prod", { ...raw.prod, "homelab:postgresPassword": "hunter2" }, ["minifluxAdminPassword"]);
    expect(message).toContain("homelab:postgresPassword: this secret is stored as plain text. Run: pulumi config set");
    expect(message).not.toContain("hunter2");
  });

  test("the restore that this version does not contain", () => {
    expect(failure("restore", { "homelab:kind": "restore" })).toBe(
      "Unable to run stack restore: this version has no emergency restore (homelab:kind is restore). " +
        "Use kind prod or drill; how to restore by hand stands in the README.",
    );
  });

  test("a public route without a public address", () => {
    const open = catalogue.map((spec) =>
      spec.route ? { ...spec, route: { ...spec.route, exposure: "public" as const } } : spec,
    );
    const context = { stack: "prod", projectDir: "/repo", secretKeys: new Set(SECRETS), catalogue: open };
    expect(() => parseConfig(raw.prod, context)).toThrow(
      "homelab:dns.publicAddress: missing. Expected: the address that the public routes of miniflux point to.",
    );
  });
});

test("a long value is cut, so that a key pasted in the wrong place is not repeated", () => {
  const pasted = `-----BEGIN OPENSSH PRIVATE KEY-----\n${"b3BlbnNzaC1rZXktdjEA".repeat(20)}`;
  const message = failure("prod", change(raw.prod, "dockerVm", { sshAuthorizedKey: pasted }));
  expect(message).toContain('sshAuthorizedKey: "-----BEGIN OPENSSH PRIVATE KEY-----…" is not accepted.');
});

test("all problems at once, each on a line", () => {
  const values = {
    ...change(change(raw.drill, "dockerVm", { cores: 0, memoryMiB: 1 }), "targets", { rtoMinutes: -1 }),
    "docker:host": "ssh://x",
  };
  expect(
    failure("drill", values)
      .split("\n")
      .map((line) => line.split(": ")[0]),
  ).toEqual([
    "Unable to use the configuration of stack drill",
    "- docker:host",
    "- homelab:dockerVm.cores",
    "- homelab:dockerVm.memoryMiB",
    "- homelab:targets.rtoMinutes",
  ]);
});

describe("reading the files without Pulumi", () => {
  test("the stack's value wins as a whole; encrypted values are known by name only", () => {
    const project = {
      config: { "homelab:a": { value: { x: 1, y: 2 } }, b: { type: "string", default: "d" }, c: "plain" },
    };
    const stack = { config: { "homelab:a": { x: 3 }, "homelab:secret": { secure: "v1:abc" }, "other:key": true } };
    const result = readRawConfig(project, stack);
    expect(result.raw).toEqual({
      "homelab:a": '{"x":3}',
      "homelab:b": "d",
      "homelab:c": "plain",
      "homelab:secret": "",
      "other:key": "true",
    });
    expect([...result.secretKeys]).toEqual(["secret"]);
  });
});
