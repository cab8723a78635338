/**
 * The policies in the real `pulumi`, with the real plugins and the lab's Proxmox API, without machines. Each rule by itself is
 * in the unit tests beside this one; here is that the engine asks them, stops, and gives them configuration and secrets.
 */
import { cp, mkdir, readFile, symlink, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { parse, stringify } from "yaml";
import { violationsIn } from "../../cli/pulumi-errors";
import { edit } from "../bad-input/project";
import { ReachableApis } from "../bad-input/reachable";
import { Workspace } from "../bad-input/workspace";

const REPO_DIR = resolve(__dirname, "../..");
const PASSWORD = "a-long-planted-password";
const VM_URN = "urn:pulumi:prod::homelab::homelab:components:DockerVm$proxmoxve:index/vmLegacy:VmLegacy::docker-vm";
/** What `pulumi import` takes into the state, protected. */
const IMPORTED = [
  { type: "homelab:components:DockerVm", name: "docker", logicalName: "docker-vm", component: true },
  {
    ...{ type: "proxmoxve:index/vmLegacy:VmLegacy", name: "vm", logicalName: "docker-vm", parent: "docker" },
    ...{ id: "pve/200", version: "8.6.0" },
  },
];
jest.setTimeout(300_000);

let workspace: Workspace;
let apis: ReachableApis;

beforeAll(async () => {
  workspace = await Workspace.create();
  apis = await ReachableApis.start();
  await symlink(join(REPO_DIR, "policy"), join(workspace.project, "policy"));
  const { api } = apis;
  await api.task("POST", "/nodes/pve/qemu", {
    vmid: 200,
    name: "docker",
    memory: 2048,
    cores: 2,
    scsi0: "local-lvm:16",
  });
  await api.ok("POST", "/storage", { storage: "nas", type: "dir", path: "/mnt/pve/nas", content: "backup" });
  const dump = join(api.lab.spec.dir, "fs/mnt/pve/nas/dump");
  await mkdir(dump, { recursive: true });
  const archive =
    "#qmdump#map:scsi0:drive-scsi0:local-lvm:raw:\nname: docker\nscsi0: local-lvm:vm-200-disk-0,size=1G\n";
  await writeFile(join(dump, "vzdump-qemu-200-2026_11_20-02_00_00.vma.zst"), archive);
});
afterAll(async () => {
  await apis[Symbol.asyncDispose]();
  await workspace[Symbol.asyncDispose]();
});
beforeEach(async () => {
  await workspace.write({});
  for (const name of ["stacks", "services"]) {
    await cp(join(REPO_DIR, name), join(workspace.project, name), { recursive: true });
  }
});

/** Exit code, what the policies say, and all errors of Pulumi but that it failed. */
async function judged(stack: string, args: readonly string[] = ["preview"]) {
  const environment = {
    ...apis.environment,
    PULUMI_OPTION_POLICY_PACK: join(workspace.project, "policy/homelab-policies"),
  };
  const { code, errors, warnings, output } = await workspace.pulumi([...args, "-s", stack], environment);
  return {
    code,
    violations: violationsIn(output),
    errors: errors.filter((text) => text !== "preview failed"),
    warnings,
    output,
  };
}

async function change(file: string, ...changes: readonly (readonly [string, string])[]): Promise<void> {
  const place = join(workspace.project, file);
  await writeFile(place, edit(await readFile(place, "utf8"), changes));
}

/** The committed file of a stack, with what the fixture's has encrypted. */
async function useCommitted(stack: "prod" | "drill"): Promise<void> {
  const file = `Pulumi.${stack}.yaml`;
  const place = join(workspace.project, file);
  interface StackFile {
    encryptionsalt?: string;
    config: Record<string, unknown>;
  }
  const own = parse(await readFile(place, "utf8")) as StackFile;
  const committed = parse(await readFile(join(REPO_DIR, file), "utf8")) as StackFile;
  const secrets = Object.entries(own.config).filter(([, value]) => Object.hasOwn(Object(value) as object, "secure"));
  const salt = own.encryptionsalt === undefined ? {} : { encryptionsalt: own.encryptionsalt };
  await writeFile(place, stringify({ ...salt, config: { ...committed.config, ...Object.fromEntries(secrets) } }));
  await cp(join(REPO_DIR, "Pulumi.yaml"), join(workspace.project, "Pulumi.yaml"));
}

describe("the committed stacks pass", () => {
  test("prod, with one warning", async () => {
    await useCommitted("prod");
    const { code, violations, errors, output } = await judged("prod");
    expect([code, violations, errors]).toEqual([0, [], []]);
    expect(output).toMatch(/⚠️ homelab@v0\.1\.0 \(local: /);
    expect(output).toMatch(/- \[advisory\] {2}downloads-pinned/);
  });

  test("drill", async () => {
    await useCommitted("drill");
    const { code, violations, errors, output } = await judged("drill");
    expect([code, violations, errors]).toEqual([0, [], []]);
    expect(output).toMatch(/✅ homelab@v0\.1\.0/);
  });
});

describe("what violates a rule is refused before anything is touched", () => {
  afterAll(async () => {
    const { output } = await workspace.pulumi(["stack", "ls", "--json"]);
    expect(output.match(/"resourceCount": \d+/g)).toEqual(['"resourceCount": 0', '"resourceCount": 0']);
  });

  test("a setting of the operator: backups on the node's own disk, by preview and by up", async () => {
    const refused = {
      violations: [
        'Unable to accept backup storage nas: its folder "/var/lib/vz/nas" is on the node\'s disk. ' +
          "Use an NFS export, or the path below /mnt at which the NAS is mounted.",
      ],
      errors: [],
    };
    await workspace.write({ prod: [["path: /mnt/pve/nas", "path: /var/lib/vz/nas"]] });
    const preview = await judged("prod");
    expect(preview).toMatchObject(refused);
    expect(preview.code).not.toBe(0);
    const up = await judged("prod", ["up", "--yes"]);
    expect(up).toMatchObject(refused);
    expect(up.code).not.toBe(0);
  });

  test("code: another VM without backup job and protection, a volume and a job that lost theirs", async () => {
    await change(
      "stacks/prod.ts",
      [
        'import * as pulumi from "@pulumi/pulumi";',
        'import * as pulumi from "@pulumi/pulumi";\nimport * as extra from "@muhlba91/pulumi-proxmoxve";',
      ],
      [
        "  const services = createServices",
        '  new extra.VmLegacy("other", { nodeName: node, vmId: 300 });\n  const services = createServices',
      ],
      [
        "  const { catalogue } = parts;\n",
        "  const { catalogue } = parts;\n  pulumi.runtime.registerStackTransformation(({ name, props, opts }) =>\n" +
          '    name === "postgres-data" || name === "backup-job" ? { props, opts: { ...opts, protect: false } } : undefined,\n  );\n',
      ],
    );
    const open = (name: string): string =>
      `Unable to accept ${name}: it holds what must not be lost and is not protected, so an update could replace or delete it. ` +
      `Declare it with protect: true, or list {action: replace, resource: ${name}, until: …, reason: …} under ` +
      "homelab:consent in Pulumi.prod.yaml.";
    const { violations, errors } = await judged("prod");
    expect([violations.sort(), errors]).toEqual([
      [
        "Unable to accept other (VMID 300): no enabled backup job of this stack takes it. Add its VMID to the vmids of a proxmoxve.backup.Job.",
        ...["backup-job", "other", "postgres-data"].map(open),
      ].sort(),
      [],
    ]);
  });

  test("a service: a secret in clear is named, never shown; the same as a secret is accepted", async () => {
    await workspace.write({});
    const { code } = await workspace.pulumi(["config", "set", "-s", "prod", "--secret", "postgresPassword", PASSWORD]);
    expect(code).toBe(0);
    expect((await judged("prod")).violations).toEqual([]);

    await change("services/miniflux.ts", ['RUN_MIGRATIONS: "1"', `NOTE: "postgres takes ${PASSWORD}"`]);
    const { violations, errors, output } = await judged("prod");
    expect([violations, errors]).toEqual([
      [
        expect.stringMatching(
          /^Unable to accept miniflux: labels\[\d+\]\.value holds the value of homelab:postgresPassword in clear/,
        ),
      ],
      [],
    ]);
    expect(violations.join()).not.toContain(PASSWORD);
    expect(output.match(new RegExp(PASSWORD, "g"))).toBeNull();
  });

  test("a drill that declares something of production's", async () => {
    await change(
      "stacks/drill.ts",
      [
        'import type { ServiceSpec } from "../services/spec";',
        'import type { ServiceSpec } from "../services/spec";\nimport * as cloudflare from "@pulumi/cloudflare";',
      ],
      [
        "  const guest = new RestoredGuest(",
        '  new cloudflare.DnsRecord("rss", { zoneId: "0", name: "rss.example.net", type: "A", content: "192.0.2.1", ttl: 300 });\n' +
          "  const guest = new RestoredGuest(",
      ],
    );
    const { violations, errors } = await judged("drill");
    expect([violations, errors]).toEqual([
      [
        "Unable to accept rss (cloudflare:index/dnsRecord:DnsRecord) in the drill: a drill makes nothing but its own VM, and what " +
          "else it declared would be production's. Declare it in stacks/prod.ts.",
      ],
      [],
    ]);
  });
});

test("a consent lifts the protection of what it names, is announced, and ends", async () => {
  const consent = (until: Date): string =>
    `  homelab:consent:\n    - {action: replace, resource: docker-vm, until: "${until.toISOString()}", reason: A new disk layout.}\n`;
  const withConsent = (until: Date): Promise<void> =>
    workspace.write({ prod: [["  homelab:dns:\n", `${consent(until)}  homelab:dns:\n`]] });
  const until = new Date(Date.now() + 3600_000);
  await withConsent(until);
  const given = await judged("prod");
  expect([given.code, given.violations, given.errors]).toEqual([0, [], []]);
  expect(given.warnings).toContain(`docker-vm is not protected until ${until.toISOString()}: A new disk layout.`);

  await withConsent(new Date(Date.now() - 1000));
  const expired = await judged("prod");
  expect([expired.code, expired.violations]).toEqual([0, []]);
  expect(expired.warnings.join()).not.toContain("is not protected");

  const long = new Date(Date.now() + 30 * 24 * 3600_000);
  await withConsent(long);
  expect((await judged("prod")).violations).toEqual([
    `Unable to accept the consent to replace docker-vm: it runs until ${long.toISOString()}, longer than 7 days. ` +
      "Set an earlier until under homelab:consent in Pulumi.prod.yaml.",
  ]);
});

test("the VM can't be replaced or left out, by whatever cause, until a consent names it", async () => {
  await writeFile(join(workspace.project, "import.json"), JSON.stringify({ resources: IMPORTED }));
  const importing = ["import", "-s", "prod", "--file", "import.json", "--generate-code=false", "--yes"];
  expect((await workspace.pulumi(importing, apis.environment)).code).toBe(0);
  const replacing = ["preview", "--replace", VM_URN];

  const refused = await judged("prod", replacing);
  expect(refused.errors.join()).toContain(
    `unable to replace resource "${VM_URN}"\nas it is currently marked for protection`,
  );
  expect(refused.code).not.toBe(0);

  const until = new Date(Date.now() + 3600_000).toISOString();
  const consent = `  homelab:consent:\n    - {action: replace, resource: docker-vm, until: "${until}", reason: A new disk layout.}\n`;
  await workspace.write({ prod: [["  homelab:dns:\n", `${consent}  homelab:dns:\n`]] });
  const allowed = await judged("prod", replacing);
  expect([allowed.code, allowed.violations, allowed.errors]).toEqual([0, [], []]);
  expect(allowed.output).toMatch(/VmLegacy docker-vm replace/);

  // Left out of the program: the policies say it too, because the protection of the state may have been lifted.
  await workspace.write({});
  await workspace.pulumi(["state", "unprotect", VM_URN, "-s", "prod", "--yes"], apis.environment);
  await change("stacks/prod.ts", ["vmId: dockerVm.vmId,\n    // A storage", "vmId: 201,\n    // A storage"]);
  expect((await judged("prod")).violations).toContain(
    "Unable to accept stack prod: it does not declare VM 200, so the update would delete it. " +
      "Declare it, or list a consent with action: delete under homelab:consent.",
  );
});

test("a wrong configuration is said by the program alone, with its place", async () => {
  await workspace.write({ drill: [["vmId: 9200", "vmId: 200"]] });
  const { violations, errors, code } = await judged("drill");
  expect([code, violations, errors]).toEqual([
    1,
    [],
    [
      "Unable to use the configuration of stack drill: 1 problem.\n" +
        "- Pulumi.drill.yaml:4: homelab:drill.vmId: 200 is production's VM (dockerVm.vmId). Expected: a VMID of the drill's own, such as 9200.",
    ],
  ]);
});

test("without the policies, the program says how to get them", async () => {
  const { warnings } = await workspace.pulumi(["preview", "-s", "prod"], apis.environment);
  expect(warnings).toContain(
    `No policies judge this stack, unless --policy-pack names them. Run: export PULUMI_OPTION_POLICY_PACK=${workspace.project}/policy/homelab-policies`,
  );
});
