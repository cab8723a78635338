import { resolve } from "node:path";
import { labSpecFromStacks } from "../../../cli/lab/spec-from-stacks";
import { readStackFiles } from "../../../cli/lab/stack-files";
import { labSpecSchema } from "../../../lab/spec";
import type { StackConfig } from "../../../stacks/config";

const PARTS = {
  id: "unit",
  dir: "/var/tmp/homelab-unit",
  cloudImageFile: "/cache/image.qcow2",
  registry: { root: "/cache/oci", tags: {} },
  apiTokens: ["homelab@pve!lab=00000000-0000-0000-0000-000000000000"],
  cloudflareToken: "token",
  scheduler: false,
};
let stacks: Readonly<Record<string, StackConfig>>;
let prod: Extract<StackConfig, { kind: "prod" }>;

beforeAll(async () => {
  const files = await readStackFiles(resolve(__dirname, "../../.."));
  stacks = files.stacks;
  prod = files.prod.config;
});

test("the lab is the operator's network and storages", () => {
  const spec = labSpecFromStacks(stacks, PARTS);
  expect(labSpecSchema.parse(spec)).toEqual(spec);
  expect(spec.node).toMatchObject({ name: prod.node, address: prod.dockerVm.gateway });
  expect(spec.bridges).toEqual([
    { name: "vmbr0", addresses: ["192.168.20.1/24"] },
    { name: "vmbr99", addresses: [] },
  ]);
  expect(spec.storages.map(({ id, kind, predefined }) => [id, kind, predefined])).toEqual([
    ["local-lvm", "lvmthin", true],
    ["local", "dir", true],
    ["nas", "dir", false],
  ]);
  expect(spec.downloads).toEqual([{ url: prod.cloudImage.url, file: "/cache/image.qcow2" }]);
  expect(spec.outside).toEqual([{ address: "1.1.1.1", port: 443 }]);
  expect(spec.cloudflare.zones).toEqual([{ id: prod.dns.zoneId, name: prod.zone }]);
});

test("what the lab does not have is said before anything starts", () => {
  const shared = { ...stacks, prod: { ...prod, backupStorage: prod.dockerVm.storage } };
  expect(() => labSpecFromStacks(shared, PARTS)).toThrow('storage "local-lvm" would hold disks, images and archives');
});

test("an NFS export is a folder of the lab's, declared by prod as on a real node", () => {
  const nfs = { type: "nfs" as const, server: "nas.lan", export: "/tank" };
  const withNfs = { ...stacks, prod: { ...prod, backup: { ...prod.backup, storage: nfs } } };
  const nas = labSpecFromStacks(withNfs, PARTS).storages.find(({ id }) => id === "nas");
  expect(nas).toMatchObject({ kind: "dir", predefined: false, path: "/mnt/pve/nas" });
});

test("an existing backup storage is there before prod", () => {
  const existing = { ...stacks, prod: { ...prod, backup: { ...prod.backup, storage: { type: "existing" as const } } } };
  const nas = labSpecFromStacks(existing, PARTS).storages.find(({ id }) => id === "nas");
  expect(nas).toMatchObject({ predefined: true, path: "/mnt/pve/nas" });
});
