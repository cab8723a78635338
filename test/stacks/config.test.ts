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
  restore: committed("restore"),
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
        "- Pulumi.prod.yaml: homelab:minifluxAdminPassword: this secret is missing. " +
        'Run: pulumi config set -s prod --secret minifluxAdminPassword "$(openssl rand -hex 24)"\n' +
        "- Pulumi.prod.yaml: homelab:postgresPassword: this secret is missing. " +
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
      drill: {
        ...{ vmId: 9200, name: "docker-drill", isolatedBridge: "vmbr99" },
        ...{ restorePoint: { choose: "latest" }, expiresAfterHours: 24 },
      },
      timeouts: { stopSeconds: 120, removeSeconds: 600 },
    });
  });

  test("files are found from the project folder, and the operator's home stays a name", () => {
    const config = run("drill", raw.drill, []);
    expect(config.files).toEqual({
      evidence: "/repo/drills",
      trust: "/repo/trust",
      imagesLock: "/repo/images.lock.json",
      knownHosts: "~/.homelab/known_hosts",
    });
    expect(rootCertificateFile(config)).toBe("/repo/trust/example.net-proxy-root.pem");
    expect(dockerVmAddress(config)).toBe("192.168.20.200");
  });
});

describe("one problem each", () => {
  test.each<[string, "prod" | "drill", Record<string, string>, string]>([
    [
      "archive in the form of older versions",
      "drill",
      change(raw.drill, "drill", { archive: "nas:backup/a" }),
      'Pulumi.drill.yaml: homelab:drill.archive: "nas:backup/a" is not accepted. Expected: restorePoint: {choose: named, archive: <volume id>} in its place.',
    ],
    [
      "expiry that is none",
      "drill",
      change(raw.drill, "drill", { expiresAfterHours: 0 }),
      "Pulumi.drill.yaml: homelab:drill.expiresAfterHours: 0 is not accepted. Expected: a whole number of hours from 1 to 8760.",
    ],
    [
      "restore point that is none",
      "drill",
      change(raw.drill, "drill", { restorePoint: "latest" }),
      'Pulumi.drill.yaml: homelab:drill.restorePoint: "latest" is not accepted. Expected: {choose: latest}, {choose: random, withinDays: …}, {choose: before, time: …} or {choose: named, archive: …}.',
    ],
    [
      "restore point of an unknown choice",
      "drill",
      change(raw.drill, "drill", { restorePoint: { choose: "oldest" } }),
      'Pulumi.drill.yaml: homelab:drill.restorePoint.choose: "oldest" is not accepted. Expected: latest, random, before or named.',
    ],
    [
      "random restore point without a number of days",
      "drill",
      change(raw.drill, "drill", { restorePoint: { choose: "random" } }),
      "Pulumi.drill.yaml: homelab:drill.restorePoint.withinDays: missing. Expected: a whole number of days from 1 to 36500.",
    ],
    [
      "restore point before a time without zone",
      "drill",
      change(raw.drill, "drill", { restorePoint: { choose: "before", time: "2026-11-20T02:00:00" } }),
      'Pulumi.drill.yaml: homelab:drill.restorePoint.time: "2026-11-20T02:00:00" is not accepted. Expected: a time with zone in quotes, such as "2026-11-20T02:00:00+01:00".',
    ],
    [
      "archive that is none",
      "drill",
      change(raw.drill, "drill", { restorePoint: { choose: "named", archive: "latest" } }),
      'Pulumi.drill.yaml: homelab:drill.restorePoint.archive: "latest" is not accepted. Expected: a volume id such as nas:backup/vzdump-qemu-200-….vma.zst.',
    ],
    [
      "archive of another storage",
      "drill",
      change(raw.drill, "drill", {
        restorePoint: { choose: "named", archive: "usb:backup/vzdump-qemu-200-2026_11_20-02_00_00.vma.zst" },
      }),
      'Pulumi.drill.yaml: homelab:drill.restorePoint.archive: "usb:backup/vzdump-qemu-200-2026_11_20-02_00_00.vma.zst" is not on the storage of the archives. Expected: one of nas:backup/.',
    ],
  ])("%s", (_, stack, values, problem) => {
    expect(failure(stack, values)).toBe(`Unable to use the configuration of stack ${stack}: 1 problem.\n- ${problem}`);
  });

  test("a public route without a public address", () => {
    const open = catalogue.map((spec) =>
      spec.route ? { ...spec, route: { ...spec.route, exposure: "public" as const } } : spec,
    );
    const context = { stack: "prod", projectDir: "/repo", secretKeys: new Set(SECRETS), catalogue: open };
    expect(() => parseConfig(raw.prod, context)).toThrow(
      "Pulumi.prod.yaml: homelab:dns.publicAddress: missing. Expected: the address that the public routes of miniflux point to.",
    );
  });
});

test("a long value is cut, so that a key pasted in the wrong place is not repeated", () => {
  const pasted = `-----BEGIN OPENSSH PRIVATE KEY-----\n${"b3BlbnNzaC1rZXktdjEA".repeat(20)}`;
  const message = failure("prod", change(raw.prod, "dockerVm", { sshAuthorizedKey: pasted }));
  expect(message).toContain('sshAuthorizedKey: "-----BEGIN OPENSSH PRIVATE KEY-----…" is not accepted.');
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

describe("the consent to replace a broken VM", () => {
  const replace = (values: Record<string, unknown>): Record<string, string> =>
    change(raw.restore, "restore", { replace: values });
  const GOOD = { until: "2026-11-20T12:00:00+01:00", reason: "Its root disk is damaged.", asideVmId: 8200 };

  test("is absent in the committed file, and accepted whole", () => {
    expect(run("restore", raw.restore, [])).not.toHaveProperty("restore.replace");
    expect(run("restore", replace(GOOD), [])).toMatchObject({ restore: { replace: GOOD } });
  });

  test("names each place that is wrong", () => {
    const text = failure("restore", replace({ until: "tomorrow", reason: "", asideVmId: 20 }), []);
    expect(text).toContain("homelab:restore.replace.until: ");
    expect(text).toContain('Expected: a time with zone in quotes, such as "2026-11-20T02:00:00+01:00".');
    expect(text).toContain("homelab:restore.replace.reason: ");
    expect(text).toContain("homelab:restore.replace.asideVmId: ");
    expect(failure("restore", replace({}), [])).toContain("homelab:restore.replace.reason");
  });

  test("never keeps the disks under production's own VMID", () => {
    expect(failure("restore", replace({ ...GOOD, asideVmId: 200 }), [])).toContain(
      "homelab:restore.replace.asideVmId: 200 is production's VM (dockerVm.vmId). Expected: a free VMID, such as 8200.",
    );
  });
});
