/**
 * What people see when the plain `pulumi` command is given something wrong. Real Pulumi, real plugins and the lab's Proxmox
 * API, without machines. What Pulumi says by itself before this project's program runs: `start.lab.test.ts`.
 */
import { cp, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { ApiLab } from "../lab/api-lab";
import { edit, STACKS } from "./project";
import { ReachableApis } from "./reachable";
import { Workspace } from "./workspace";

const ZONE = "0123456789abcdef0123456789abcdef";
jest.setTimeout(120_000);

let workspace: Workspace;
let api: ApiLab;
let apis: ReachableApis;
let reachable: NodeJS.ProcessEnv;

beforeAll(async () => {
  workspace = await Workspace.create();
  apis = await ReachableApis.start();
  api = apis.api;
  reachable = apis.environment;
});
beforeEach(() => workspace.write({}));
afterAll(async () => {
  await apis[Symbol.asyncDispose]();
  await workspace[Symbol.asyncDispose]();
});

/** Other warnings, such as about unlocked images, are no answer to what was given. */
function unreachable(warnings: readonly string[]): string[] {
  return warnings.filter((text) => text.startsWith("Unable to reach"));
}

/** The only error of a preview, and its exit code. */
async function previewError(stack: string, environment: NodeJS.ProcessEnv = {}): Promise<[number, string[]]> {
  const { code, errors } = await workspace.pulumi(["preview", "-s", stack], { ...reachable, ...environment });
  return [code, errors];
}

describe("what this project says", () => {
  test("an empty stack file, wrong values and variables at once, with their lines", async () => {
    await workspace.write({ project: [["192.168.20.200/24", "192.168.20.200"]] });
    await writeFile(join(workspace.project, "Pulumi.drill.yaml"), "");
    expect(await previewError("drill", { PROXMOX_VE_API_TOKEN: undefined })).toEqual([
      1,
      [
        "Unable to use the configuration of stack drill: 3 problems.\n" +
          '- Pulumi.yaml:23: homelab:dockerVm.address: "192.168.20.200" is not accepted. Expected: an IPv4 address with prefix, such as 192.168.20.200/24.\n' +
          "- Pulumi.drill.yaml: homelab:kind: missing. Expected: prod, drill or restore.\n" +
          "- environment: PROXMOX_VE_API_TOKEN: missing. Expected: <user>@<realm>!<name>=<uuid>.",
      ],
    ]);
  });

  test("values of a file that --config-file names keep their key as their place", async () => {
    const file = join(workspace.dir, "other.yaml");
    await writeFile(file, edit(STACKS.drill, [["vmId: 9200", "vmId: 200"]]));
    const { errors } = await workspace.pulumi(["preview", "-s", "drill", "--config-file", file], reachable);
    expect(errors).toEqual([
      "Unable to use the configuration of stack drill: 1 problem.\n" +
        "- homelab:drill.vmId: 200 is production's VM (dockerVm.vmId). Expected: a VMID of the drill's own, such as 9200.",
    ]);
  });

  test("provider settings in the stack, before that provider is asked", async () => {
    await workspace.write({ drill: [["homelab:targets:", "proxmoxve:insecure: true\n  homelab:targets:"]] });
    expect(await previewError("drill")).toEqual([
      1,
      [
        "Unable to use the configuration of stack drill: 1 problem.\n" +
          "- Pulumi.drill.yaml:8: proxmoxve:insecure: not accepted in stack configuration. Remove it (pulumi config rm proxmoxve:insecure) and set PROXMOX_VE_ENDPOINT and PROXMOX_VE_API_TOKEN in the environment.",
      ],
    ]);
  });

  test("a service that depends on an unknown one", async () => {
    const file = join(workspace.project, "services", "miniflux.ts");
    const original = join(__dirname, "../../services/miniflux.ts");
    const text = await readFile(original, "utf8");
    await writeFile(file, edit(text, [['dependsOn: ["postgres"]', 'dependsOn: ["postgre"]']]));
    try {
      expect(await previewError("drill")).toEqual([
        1,
        [
          "Unable to use the service catalogue: 1 problem.\n" +
            '- services/miniflux.ts: dependsOn: "postgre" is not in the catalogue. Known services: miniflux, postgres, recovery-canary, reverse-proxy.',
        ],
      ]);
    } finally {
      await cp(original, file);
    }
  });

  test("a token that Proxmox does not know", async () => {
    const wrong = { PROXMOX_VE_API_TOKEN: "root@pam!lab=99999999-2222-3333-4444-555555555555" };
    expect(await previewError("drill", wrong)).toEqual([
      1,
      [
        "Unable to GET /nodes: Authentication failed. Check PROXMOX_VE_API_TOKEN: user@realm!name=uuid, and that it has not expired.",
      ],
    ]);
  });

  test("a certificate that nobody vouches for", async () => {
    const untrusting = { NODE_EXTRA_CA_CERTS: undefined, SSL_CERT_FILE: undefined };
    const host = new URL(api.endpoint).host;
    expect(await previewError("drill", untrusting)).toEqual([
      1,
      [
        `Unable to GET /nodes: the certificate of ${host} is not trusted (unable to verify the first certificate). Put the cluster's CA (/etc/pve/pve-root-ca.pem of the node) into a PEM file and name it in both SSL_CERT_FILE and NODE_EXTRA_CA_CERTS.`,
      ],
    ]);
  });

  test("a node that nothing answers at", async () => {
    expect(await previewError("drill", { PROXMOX_VE_ENDPOINT: "https://127.0.0.1:2/" })).toEqual([
      1,
      [
        "Unable to GET /nodes: no connection to 127.0.0.1:2 (ECONNREFUSED). Check that the node is up, that the port is right and that nothing blocks the way.",
      ],
    ]);
  });

  test("a node that the cluster does not have, and a token that Cloudflare does not take, at once", async () => {
    await workspace.write({ project: [["value: pve", "value: pve1"]] });
    expect(await previewError("prod", { CLOUDFLARE_API_TOKEN: "other-token" })).toEqual([
      1,
      [
        'Unable to use node "pve1": the cluster has no such node. Expected: pve (homelab:node).\n' +
          `Unable to read the DNS records of zone ${ZONE} at Cloudflare: Authentication error (10000). Check CLOUDFLARE_API_TOKEN, which needs Zone.DNS:Edit on this zone, and homelab:dns.zoneId.`,
      ],
    ]);
  });

  test("a zone of someone else", async () => {
    const other = "f".repeat(32);
    await workspace.write({ prod: [[ZONE, other]] });
    expect(await previewError("prod")).toEqual([
      1,
      [
        `Unable to read the DNS records of zone ${other} at Cloudflare: Unauthorized to access requested resource (9109). Check CLOUDFLARE_API_TOKEN, which needs Zone.DNS:Edit on this zone, and homelab:dns.zoneId.`,
      ],
    ]);
  });

  test("a backup storage that Proxmox does not have", async () => {
    expect(await previewError("drill")).toEqual([
      1,
      [
        "Unable to find a restore point of VM 200 on storage nas: node pve has no storage nas. Correct the storage, or bring prod up first.",
      ],
    ]);
  });
});

test("without a mistake, production can be previewed before there is a machine", async () => {
  const { code, errors, warnings } = await workspace.pulumi(["preview", "-s", "prod"], reachable);
  expect([code, errors, unreachable(warnings)]).toEqual([0, [], []]);
});

test("a CA that only Node's programs know is a warning about the public provider", async () => {
  const { warnings } = await workspace.pulumi(["preview", "-s", "prod"], { ...reachable, SSL_CERT_FILE: undefined });
  expect(warnings).toContain(
    `The public Proxmox provider may not trust the certificate of ${new URL(api.endpoint).host} (unable to verify the first certificate): it does not read NODE_EXTRA_CA_CERTS. Name the same PEM file in SSL_CERT_FILE.`,
  );
});

test("nothing of all that has changed anything in Proxmox or left a resource in the state", async () => {
  expect(await api.ok("GET", "/cluster/resources", { type: "vm" })).toEqual([]);
  const { output } = await workspace.pulumi(["stack", "ls", "--json"]);
  expect(output.match(/"resourceCount": \d+/g)).toEqual(['"resourceCount": 0', '"resourceCount": 0']);
});

test("a Docker VM that runs and does not answer is a warning: the change may be what mends it", async () => {
  await api.task("POST", "/nodes/pve/qemu", { vmid: 200, name: "docker", memory: 512 });
  await api.task("POST", "/nodes/pve/qemu/200/status/start");
  // Nothing listens there.
  await workspace.write({
    project: [
      ["192.168.20.200/24", "127.99.0.1/24"],
      ["gateway: 192.168.20.1", "gateway: 127.99.0.254"],
    ],
  });
  const { code, errors, warnings } = await workspace.pulumi(["preview", "-s", "prod"], reachable);
  expect([code, errors, unreachable(warnings)]).toEqual([
    0,
    [],
    [
      "Unable to reach the Docker VM 200 at 127.99.0.1, port 22, although it runs: ECONNREFUSED. " +
        "Changes to services will fail until it answers: look at its console, and at homelab:dockerVm.address.",
    ],
  ]);
});
