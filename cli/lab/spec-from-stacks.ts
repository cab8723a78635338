import { availableParallelism } from "node:os";
import type { LabSpec } from "../../lab/spec";
import type { DrillConfig, ProdConfig, StackConfig } from "../../stacks/config";
import { outsideOf } from "../../stacks/outside";
import { CliError } from "../errors";
import { accessOf } from "./access-rules";

/** What the stacks do not say and only the lab needs. */
export interface LabParts {
  readonly id: string;
  readonly dir: string;
  /** The lab's cloud image. */
  readonly cloudImageFile: string;
  readonly registry: { readonly root: string; readonly tags: Readonly<Record<string, string>> };
  /** All secret, `user@realm!name=uuid`. */
  readonly apiTokens: readonly string[];
  /** Secret. */
  readonly cloudflareToken: string;
  /** Whether backup jobs start at their times. */
  readonly scheduler: boolean;
}

export const CLOUDFLARE_PORT = 8443;
export const REGISTRY_PORT = 5000;

const GIB = 2 ** 30;
/** What the emulated node keeps for itself, beside the VMs. */
const NODE_MEMORY_BYTES = 4 * GIB;

/** The lab that fits the operator's stacks: their node, bridges, storages, sizes, addresses and zone. Pure. */
export function labSpecFromStacks(stacks: Readonly<Record<string, StackConfig>>, parts: LabParts): LabSpec {
  const configs = Object.values(stacks);
  const prod = configs.find((config) => config.kind === "prod");
  if (prod === undefined) throw new CliError("Unable to plan the lab: no stack has homelab:kind prod. Add one.");
  const drills = configs.filter((config) => config.kind === "drill");
  const drillMemoryMiB = drills.map(({ drill }) => drill.memoryMiB ?? prod.dockerVm.memoryMiB);
  const cores = [prod.dockerVm.cores, ...drills.map(({ drill }) => drill.cores ?? 0), availableParallelism()];
  return {
    id: parts.id,
    dir: parts.dir,
    scheduler: parts.scheduler,
    node: {
      name: prod.node,
      // The lab plays the router too, so one address is enough for node and gateway.
      address: prod.dockerVm.gateway,
      memoryBytes: (prod.dockerVm.memoryMiB + Math.max(0, ...drillMemoryMiB)) * 2 ** 20 + NODE_MEMORY_BYTES,
      cores: Math.max(...cores),
    },
    bridges: bridgesOf(prod, drills),
    storages: storagesOf(prod, configs),
    downloads: [{ url: prod.cloudImage.url, file: parts.cloudImageFile }],
    apiTokens: [...parts.apiTokens],
    access: accessOf(stacks),
    outside: outsideAddresses(drills),
    cloudflare: {
      apiToken: parts.cloudflareToken,
      zones: [{ id: prod.dns.zoneId, name: prod.zone }],
      port: CLOUDFLARE_PORT,
    },
    registry: { root: parts.registry.root, tags: { ...parts.registry.tags }, port: REGISTRY_PORT },
  };
}

function bridgesOf(prod: ProdConfig, drills: readonly DrillConfig[]): LabSpec["bridges"] {
  const { address, gateway, ipv6, vlanId, bridge } = prod.dockerVm;
  const addresses = [
    `${gateway}/${prefixOf(address)}`,
    ...(ipv6 === undefined ? [] : [`${ipv6.gateway}/${prefixOf(ipv6.address)}`]),
  ];
  const isolated = [...new Set(drills.map(({ drill }) => drill.isolatedBridge))];
  return [
    { name: bridge, addresses, ...(vlanId === undefined ? {} : { vlanId }) },
    ...isolated.map((name) => ({ name, addresses: [] })),
  ];
}

/** What drills must not reach must answer production's VM, or its silence would prove nothing. */
function outsideAddresses(drills: readonly DrillConfig[]): NonNullable<LabSpec["outside"]> {
  const all = drills.flatMap(outsideOf);
  return [...new Map(all.map((endpoint) => [`${endpoint.address} ${endpoint.port}`, endpoint])).values()];
}

function prefixOf(cidr: string): string {
  return cidr.replace(/^.*\//, "");
}

function storagesOf(prod: ProdConfig, configs: readonly StackConfig[]): LabSpec["storages"] {
  const disks = new Set([
    prod.dockerVm.storage,
    ...prod.dockerVm.dataDisks.map(({ storage }) => storage),
    ...configs.flatMap((config) => (config.kind === "drill" ? [config.drill.storage] : [])),
    ...configs.flatMap((config) => (config.kind === "restore" ? (config.restore.storage ?? []) : [])),
  ]);
  const files = prod.cloudImage.storage;
  const source = prod.backup.storage;
  const overlap = [files, prod.backupStorage].find((id) => disks.has(id));
  if (overlap !== undefined || files === prod.backupStorage) {
    throw new CliError(
      `Unable to plan the lab: storage "${overlap ?? files}" would hold disks, images and archives at once. ` +
        "Use different storages for disks (dockerVm.storage), files (cloudImage.storage) and archives (backupStorage).",
    );
  }
  return [
    ...[...disks].map((id) => ({
      id,
      kind: "lvmthin" as const,
      content: ["images"],
      totalBytes: 200 * GIB,
      predefined: true,
    })),
    {
      id: files,
      kind: "dir",
      content: ["iso", "import", "snippets"],
      totalBytes: 100 * GIB,
      path: "/var/lib/vz",
      predefined: true,
    },
    {
      id: prod.backupStorage,
      kind: "dir",
      content: ["backup"],
      totalBytes: 500 * GIB,
      // Of an NFS export too: the lab keeps it in a folder where PVE would mount it.
      path: source.type === "directory" ? source.path : `/mnt/pve/${prod.backupStorage}`,
      // `existing` means that the operator made it by hand; else prod declares it.
      predefined: source.type === "existing",
    },
  ];
}
