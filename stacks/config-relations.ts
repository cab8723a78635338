/** What must hold between values of the configuration. Looks at each pair that is there, also when others are wrong. */
import { BlockList, isIPv4, isIPv6 } from "node:net";
import { valueAt, type Problem } from "../services/checks/problem-text";
import { DEFAULT_POOLS } from "./config-schema";

/** Every pair of values that can't be together. Pure. Takes values that were not checked yet. */
export function relationProblems(values: unknown): Problem[] {
  return [...gatewayProblems(values), ...drillProblems(values), ...archiveProblems(values), ...asideProblems(values)];
}

function textAt(values: unknown, ...path: string[]): string | undefined {
  const value = valueAt(values, path);
  return typeof value === "string" ? value : undefined;
}

function gatewayProblems(values: unknown): Problem[] {
  return [
    ...gatewayProblem(values, ["dockerVm"], { family: "ipv4", isAddress: isIPv4, longestPrefix: 32 }),
    ...gatewayProblem(values, ["dockerVm", "ipv6"], { family: "ipv6", isAddress: isIPv6, longestPrefix: 128 }),
  ];
}

interface AddressKind {
  readonly family: "ipv4" | "ipv6";
  readonly isAddress: (text: string) => boolean;
  readonly longestPrefix: number;
}

function gatewayProblem(values: unknown, place: readonly string[], kind: AddressKind): Problem[] {
  const gateway = textAt(values, ...place, "gateway");
  const cidr = textAt(values, ...place, "address");
  const [, address = "", prefix = ""] = /^([\d.]+|[\da-fA-F:.]+)\/(\d{1,3})$/.exec(cidr ?? "") ?? [];
  if (gateway === undefined || cidr === undefined || !kind.isAddress(gateway) || !kind.isAddress(address)) return [];
  if (Number(prefix) > kind.longestPrefix) return [];
  const path = [...place, "gateway"];
  if (gateway === address) {
    return [{ path, text: `"${gateway}" is the VM's own address. Expected: the router's address.` }];
  }
  const subnet = new BlockList();
  subnet.addSubnet(address, Number(prefix), kind.family);
  // A router of IPv6 is often named by its link-local address.
  if (subnet.check(gateway, kind.family) || /^fe80:/i.test(gateway)) return [];
  const text = `"${gateway}" is not in the network of ${cidr}. Expected: the router's address in that network.`;
  return [{ path, text }];
}

/** A drill shares neither VMID, name, bridge nor pool with production. */
function drillProblems(values: unknown): Problem[] {
  const problems: Problem[] = [];
  const same = (key: string, productionKey: string): string | number | undefined => {
    const value = valueAt(values, ["drill", key]);
    if (typeof value !== "string" && typeof value !== "number") return undefined;
    return value === valueAt(values, ["dockerVm", productionKey]) ? value : undefined;
  };
  const refuse = (keys: string | string[], text: string): void =>
    void problems.push({ path: ["drill", ...(typeof keys === "string" ? [keys] : keys)], text });

  const vmId = same("vmId", "vmId");
  if (vmId !== undefined) {
    refuse("vmId", `${vmId} is production's VM (dockerVm.vmId). Expected: a VMID of the drill's own, such as 9200.`);
  }
  const name = same("name", "name");
  if (name !== undefined) {
    refuse("name", `"${name}" is production's name (dockerVm.name). Expected: another name, such as ${name}-drill.`);
  }
  const bridge = same("isolatedBridge", "bridge");
  if (bridge !== undefined) {
    refuse(
      "isolatedBridge",
      `"${bridge}" is production's bridge (dockerVm.bridge). Expected: a bridge without port and address, such as vmbr99.`,
    );
  }
  const isDrill = typeof valueAt(values, ["drill"]) === "object";
  const pool = valueAt(values, ["drill", "pool"]) ?? DEFAULT_POOLS.drill;
  if (
    isDrill &&
    typeof pool === "string" &&
    pool === (valueAt(values, ["dockerVm", "pool"]) ?? DEFAULT_POOLS.production)
  ) {
    refuse(
      "pool",
      `"${pool}" is production's pool (dockerVm.pool), and the drill's token may change every VM in its own. Expected: another pool, such as ${DEFAULT_POOLS.drill}.`,
    );
  }
  return problems;
}

function archiveProblems(values: unknown): Problem[] {
  const storage = textAt(values, "backupStorage");
  if (storage === undefined) return [];
  return ["drill", "restore"].flatMap((section): Problem[] => {
    const path = [section, "restorePoint", "archive"];
    const archive = textAt(values, ...path);
    if (archive?.includes(":backup/") !== true || archive.startsWith(`${storage}:`)) return [];
    return [{ path, text: `"${archive}" is not on the storage of the archives. Expected: one of ${storage}:backup/.` }];
  });
}

function asideProblems(values: unknown): Problem[] {
  const path = ["restore", "replace", "asideVmId"];
  const vmId = valueAt(values, path);
  if (typeof vmId !== "number" || vmId !== valueAt(values, ["dockerVm", "vmId"])) return [];
  return [{ path, text: `${vmId} is production's VM (dockerVm.vmId). Expected: a free VMID, such as 8200.` }];
}
