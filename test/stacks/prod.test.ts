import * as pulumi from "@pulumi/pulumi";
import { readFileSync } from "node:fs";
import path from "node:path";
import { parse } from "yaml";
import { loadCatalogue, secretKeys } from "../../services/catalogue";
import type { ServiceSpec } from "../../services/spec";
import { parseConfig, type ProdConfig } from "../../stacks/config";
import type { ImagesLock } from "../../stacks/images-lock";
import { prod, type ProdParts } from "../../stacks/prod";
import { readRawConfig } from "../../stacks/raw-config";
import { expectGolden, find, recordGraph, type Mocks, type RecordedResource } from "./graph";

const VM = "proxmoxve:index/vmLegacy:VmLegacy";
const CONTAINER = "docker:index/container:Container";
const VOLUME = "docker:index/volume:Volume";
const RECORD = "cloudflare:index/dnsRecord:DnsRecord";
const JOB = "proxmoxve:backup/job:Job";

const mocks: Mocks = {
  "proxmoxve:download/file:File": (_, { datastoreId, fileName }) => ({
    id: `${String(datastoreId)}:import/${String(fileName)}`,
  }),
  [VM]: (_, { vmId, networkDevices }) => ({
    id: String(vmId),
    // Proxmox draws the address; the provider reads it back into the card.
    outputs: { networkDevices: [{ ...(networkDevices as object[])[0], macAddress: "BC:24:11:00:00:01" }] },
  }),
  "proxmoxve:storage/directory:Directory": (_, { resourceId }) => ({ id: String(resourceId) }),
  "proxmoxve:storage/nfs:Nfs": (_, { resourceId }) => ({ id: String(resourceId) }),
  [JOB]: (_, { resourceId }) => ({ id: String(resourceId) }),
  "homelab:prod:Readiness": (name) => ({
    id: name,
    outputs: { hostKeys: ["ssh-ed25519 AAAA"], engineVersion: "20.10" },
  }),
  "homelab:prod:ProxyConfig": (name) => ({ id: name }),
  "homelab:prod:RecordedRoot": (name) => ({ id: name, outputs: { fingerprint: "00" } }),
  "pulumi:providers:docker": (name) => ({ id: `${name}-connection` }),
  "docker:index/network:Network": (name) => ({ id: name }),
  "docker:index/remoteImage:RemoteImage": (_, { name }) => ({
    id: `${String(name)}-id`,
    outputs: { imageId: `sha256:${String(name)}` },
  }),
  [VOLUME]: (name) => ({ id: name }),
  [CONTAINER]: (name) => ({ id: `${name}-container-id` }),
  [RECORD]: (name) => ({ id: name }),
};

function committedConfig(): ProdConfig {
  const read = (file: string): unknown => parse(readFileSync(path.join(__dirname, "../..", file), "utf8"));
  const { raw } = readRawConfig(read("Pulumi.yaml"), read("Pulumi.prod.yaml"));
  const keys = secretKeys(loadCatalogue());
  for (const key of keys) raw[`homelab:${key}`] = "";
  const config = parseConfig(raw, {
    stack: "prod",
    projectDir: "/repo",
    secretKeys: new Set(keys),
    catalogue: loadCatalogue(),
  });
  if (config.kind !== "prod") throw new Error(`Pulumi.prod.yaml is of kind ${config.kind}.`);
  return config;
}

function graphOf(
  config: ProdConfig,
  catalogue: readonly ServiceSpec[],
  lock: ImagesLock = new Map(),
  more: Partial<Pick<ProdParts, "lookAgain">> = {},
): Promise<RecordedResource[]> {
  return recordGraph(
    () => {
      const secrets = secretKeys(catalogue).map((key) => [key, pulumi.secret(`value of ${key}`)] as const);
      return prod(config, {
        catalogue,
        secrets: Object.fromEntries(secrets),
        lock,
        deployments: { record: () => pulumi.output(undefined) },
        ...more,
      });
    },
    { stack: "prod", mocks },
  );
}

let warn: jest.SpyInstance;
beforeAll(() => {
  warn = jest.spyOn(pulumi.log, "warn").mockResolvedValue(undefined);
});

describe("images", () => {
  const digest = `sha256:${"a".repeat(64)}`;

  test("a locked one is pulled by its digest, the others are warned of", async () => {
    warn.mockClear();
    const graph = await graphOf(committedConfig(), loadCatalogue(), new Map([["postgres:15-bookworm", digest]]));
    const image = find(graph, "docker:index/remoteImage:RemoteImage", "postgres-image");
    expect(image.inputs["name"]).toBe(`postgres:15-bookworm@${digest}`);
    expect(warn.mock.calls).toEqual([
      ["2 images are not locked to a digest: caddy:2.11.1, miniflux/miniflux:2.2.10. Run: npm run homelab -- lock"],
    ]);
  });
});

describe("the committed stack", () => {
  const config = committedConfig();
  let graph: RecordedResource[];
  beforeAll(async () => {
    graph = await graphOf(config, loadCatalogue());
  });
  const count = (type: string): number => graph.filter((resource) => resource.type === type).length;

  test("as a whole", () => expectGolden("prod.json", graph));

  test("has one VM, one job, one container for each service, one record for each route", () => {
    expect([VM, JOB, CONTAINER, RECORD, VOLUME].map(count)).toEqual([1, 1, 4, 1, 4]);
  });

  test("protects what holds data and what backs it up, and nothing else", () => {
    expect(graph.filter(({ protect }) => protect).map(({ name }) => name)).toEqual([
      "postgres-data",
      "reverse-proxy-config",
      "reverse-proxy-data",
      "reverse-proxy-etc",
      "backup-job",
      "docker-vm",
      "backup-storage",
    ]);
  });

  test("the VM starts from the image, starts with the node, and is never waited for", () => {
    expect(find(graph, VM, "docker-vm")).toMatchObject({
      inputs: {
        vmId: 200,
        onBoot: true,
        agent: { enabled: true, waitForIp: { disabled: true } },
        disks: [{ interface: "scsi0", importFrom: "local:import/debian-12-genericcloud-amd64.qcow2", size: 16 }],
        initialization: { ipConfigs: [{ ipv4: { address: "192.168.20.200/24", gateway: "192.168.20.1" } }] },
        purgeOnDestroy: false,
        deleteUnreferencedDisksOnDestroy: false,
      },
      // Also what leaves an existing VM in the pool that it is in.
      ignoreChanges: ["poolId", "disks[0].importFrom", "disks[0].speed"],
    });
  });

  test("the job backs up this VM to the NAS with the concept's retention", () => {
    expect(find(graph, JOB, "backup-job").inputs).toMatchObject({
      vmids: ["200"],
      storage: "nas",
      mode: "snapshot",
      compress: "zstd",
      pruneBackups: { "keep-last": "3", "keep-daily": "7", "keep-weekly": "4" },
    });
  });

  test("a container's secrets are secret in its inputs and in its outputs", () => {
    const { inputs, secretOutputs } = find(graph, CONTAINER, "miniflux");
    expect(inputs.envs).toEqual([
      "[secret]",
      "ADMIN_USERNAME=admin",
      "BASE_URL=https://rss.example.net/",
      "CREATE_ADMIN=1",
      "[secret]",
      "POLLING_FREQUENCY=60",
      "RUN_MIGRATIONS=1",
    ]);
    expect(secretOutputs).toEqual(["envs"]);
    // Pulumi hides envs as a whole then, so a review reads the plain ones here.
    expect(inputs.labels).toContainEqual({ label: "homelab.env.POLLING_FREQUENCY", value: "60" });
    expect(JSON.stringify(inputs.labels)).not.toContain("PASSWORD");
    expect(JSON.stringify(graph)).not.toContain("value of");
  });

  test("the connection is made of plain values, and containers only wait for readiness", () => {
    expect(find(graph, "pulumi:providers:docker", "docker").inputs.host).toBe("ssh://homelab@192.168.20.200");
    for (const { inputs, after = [] } of graph.filter(({ type }) => type === CONTAINER)) {
      expect(after).toContain("docker-readiness");
      expect(JSON.stringify(inputs)).not.toContain("AAAA");
    }
  });

  test("a container starts after the services that it depends on", () => {
    expect(find(graph, CONTAINER, "miniflux").after).toContain("postgres");
    expect(find(graph, CONTAINER, "postgres").after).not.toContain("miniflux");
  });

  test("the record of a LAN route is the VM's own address, not proxied", () => {
    expect(find(graph, RECORD, "dns-miniflux").inputs).toMatchObject({
      name: "rss.example.net",
      type: "A",
      content: "192.168.20.200",
      proxied: false,
    });
  });

  test("the root is recorded after the configuration that makes Caddy create it", () => {
    expect(find(graph, "homelab:prod:RecordedRoot", "way-in-root")).toMatchObject({
      inputs: { containerId: "reverse-proxy-container-id", file: "/repo/trust/example.net-proxy-root.pem" },
      after: expect.arrayContaining(["way-in-config"]) as string[],
    });
  });
});

describe("variants", () => {
  const catalogue = loadCatalogue();

  test("IPv6 beside IPv4: the guest's address, and an AAAA record for each route of the LAN", async () => {
    const config = committedConfig();
    const ipv6 = { address: "fd00:20::200/64", gateway: "fd00:20::1" };
    const graph = await graphOf({ ...config, dockerVm: { ...config.dockerVm, ipv6 } }, catalogue);
    expect(find(graph, VM, "docker-vm").inputs).toMatchObject({ initialization: { ipConfigs: [{ ipv6 }] } });
    expect(find(graph, RECORD, "dns-miniflux").inputs).toMatchObject({ type: "A", content: "192.168.20.200" });
    const published = find(graph, CONTAINER, "reverse-proxy").inputs["ports"] as { external: number; ip?: string }[];
    expect(published.map(({ external, ip }) => [external, ip])).toEqual([
      [80, undefined],
      [80, "::"],
      [443, undefined],
      [443, "::"],
    ]);
    expect(find(graph, RECORD, "dns-miniflux-ipv6").inputs).toMatchObject({ type: "AAAA", content: "fd00:20::200" });
  });

  describe("with IPv6, where the order of a port's two addresses is the engine's,", () => {
    const dns: ServiceSpec = {
      ...{ name: "dns", purpose: "Names.", image: "dns:1", data: "none", smokeTests: [] },
      ports: [
        { hostPort: 53, containerPort: 53, protocol: "udp" },
        { hostPort: 5300, containerPort: 53 },
      ],
    };
    const container = async (spec: ServiceSpec, ipv6: boolean): Promise<RecordedResource> => {
      const config = committedConfig();
      const addresses = { ipv6: { address: "fd00:20::200/64", gateway: "fd00:20::1" } };
      const dockerVm = { ...config.dockerVm, ...(ipv6 ? addresses : {}) };
      return find(await graphOf({ ...config, dockerVm }, [spec]), CONTAINER, spec.name);
    };
    const label = ({ inputs }: RecordedResource): unknown =>
      (inputs["labels"] as { label: string; value: string }[]).find((one) => one.label === "homelab.ports")?.value;

    test("a label is compared in place of the ports", async () => {
      const made = await container(dns, true);
      expect(made.ignoreChanges).toEqual(["ports"]);
      expect(label(made)).toBe("53->53/udp, 5300->53/tcp");
    });

    test("neither is there where nothing is published or each port has one address", async () => {
      expect(label(await container({ ...dns, ports: [] }, true))).toBeUndefined();
      const single = await container(dns, false);
      expect([single.ignoreChanges, label(single)]).toEqual([undefined, undefined]);
    });
  });

  test("more disks and a VLAN tag are the VM's", async () => {
    const config = committedConfig();
    const dockerVm = { ...config.dockerVm, vlanId: 30, dataDisks: [{ storage: "bulk", sizeGiB: 3 }] };
    const { inputs } = find(await graphOf({ ...config, dockerVm }, catalogue), VM, "docker-vm");
    expect(inputs).toMatchObject({
      disks: [{ interface: "scsi0" }, { interface: "scsi1", datastoreId: "bulk", size: 3 }],
      networkDevices: [{ bridge: "vmbr0", vlanId: 30 }],
    });
    expect(inputs.disks).not.toMatchObject([{}, { importFrom: expect.anything() as unknown }]);
  });

  test("a public route points at the public address behind Cloudflare's proxy", async () => {
    const config = { ...committedConfig(), dns: { zoneId: "0".repeat(32), publicAddress: "203.0.113.7" } };
    const open = catalogue.map((spec) =>
      spec.route ? { ...spec, route: { ...spec.route, exposure: "public" as const } } : spec,
    );
    const graph = await graphOf(config, open);
    expect(find(graph, RECORD, "dns-miniflux").inputs).toMatchObject({ content: "203.0.113.7", proxied: true, ttl: 1 });
  });

  test("a storage that is only being made is looked into before an empty VM is", async () => {
    const looks: string[] = [];
    const graph = await graphOf(committedConfig(), loadCatalogue(), new Map(), {
      lookAgain: async () => void looks.push("looked"),
    });
    expect(looks).toEqual(["looked"]);
    expect(find(graph, VM, "docker-vm").inputs).toMatchObject({ name: "docker" });
  });

  test("a storage that exists is not declared", async () => {
    const config = committedConfig();
    const graph = await graphOf({ ...config, backup: { ...config.backup, storage: { type: "existing" } } }, catalogue);
    expect(graph.filter(({ type }) => type.startsWith("proxmoxve:storage/"))).toEqual([]);
    expect(find(graph, JOB, "backup-job").inputs.storage).toBe("nas");
  });

  test("an NFS export is declared as one; a rule of 0 is left out", async () => {
    const config = committedConfig();
    const storage = { type: "nfs", server: "nas.lan", export: "/backup" } as const;
    const graph = await graphOf({ ...config, backup: { ...config.backup, storage, keepWeekly: 0 } }, catalogue);
    expect(find(graph, "proxmoxve:storage/nfs:Nfs", "backup-storage").inputs).toMatchObject({ export: "/backup" });
    expect(find(graph, JOB, "backup-job").inputs.pruneBackups).toEqual({ "keep-last": "3", "keep-daily": "7" });
  });

  test("another service is another file and changes no other service", async () => {
    const config = committedConfig();
    const names = ({ name, type }: RecordedResource): string => `${type} ${name}`;
    const extra: ServiceSpec = { name: "extra", purpose: "Is there.", image: "nginx:1.29", data: "none" };
    const [before, after] = [await graphOf(config, catalogue), await graphOf(config, [...catalogue, extra])];
    expect(after.filter(({ name }) => !name.startsWith("extra"))).toEqual(before);
    expect(after.filter(({ name }) => name.startsWith("extra")).map(names)).toEqual([
      "docker:index/container:Container extra",
      "docker:index/remoteImage:RemoteImage extra-image",
      "homelab:components:Service extra",
    ]);
  });
});
