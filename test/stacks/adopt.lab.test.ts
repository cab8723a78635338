/**
 * Adopting a VM that no stack has made, with the real `pulumi`, the real Proxmox provider and the lab's API. What it does not
 * prove: what cloud-init does in a guest that had none so far.
 */
import { cp } from "node:fs/promises";
import { join, resolve } from "node:path";
import { z } from "zod";
import { ReachableApis } from "../bad-input/reachable";
import { Workspace } from "../bad-input/workspace";
import type { ApiLab } from "../lab/api-lab";

const REPO_DIR = resolve(__dirname, "../..");
jest.setTimeout(180_000);

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
afterAll(async () => {
  await apis[Symbol.asyncDispose]();
  await workspace[Symbol.asyncDispose]();
});

const stepsSchema = z.object({
  steps: z.array(z.object({ op: z.string(), urn: z.string(), replaceReasons: z.array(z.string()).nullish() })),
});

const VM_URN = "urn:pulumi:prod::homelab::homelab:components:DockerVm$proxmoxve:index/vmLegacy:VmLegacy::docker-vm";

test("a VM that was made by hand is taken over with the committed file and changed in place, never replaced", async () => {
  const byHand = { name: "by-hand", memory: 4096, cores: 4, scsihw: "virtio-scsi-pci", ostype: "l26" };
  const hardware = { scsi0: "local-lvm:32", net0: "virtio=BC:24:11:AA:BB:CC,bridge=vmbr0", boot: "order=scsi0" };
  await api.task("POST", "/nodes/pve/qemu", { vmid: 200, ...byHand, ...hardware });
  await workspace.write({
    project: [
      ["name: docker", "name: by-hand"],
      ["cores: 2", "cores: 4"],
      ["memoryMiB: 2048", "memoryMiB: 4096"],
      ["diskGiB: 16", "diskGiB: 32"],
      ["192.168.20.200/24", "127.0.0.1/8"],
      ["gateway: 192.168.20.1", "gateway: 127.0.0.2"],
    ],
    prod: [
      ["debian.qcow2\n    fileName: debian.qcow2", "image.raw\n    fileName: image.raw"],
      ["timeoutSeconds: 900", "timeoutSeconds: 1"],
    ],
  });
  await cp(join(REPO_DIR, "docs/adopt-vm.json"), join(workspace.project, "adopt-vm.json"));

  const importing = ["import", "-s", "prod", "--file", "adopt-vm.json", "--generate-code=false", "--yes"];
  expect((await workspace.pulumi(importing, reachable)).code).toBe(0);

  const preview = await workspace.pulumi(["preview", "-s", "prod", "--json"], reachable);
  const { steps } = stepsSchema.parse(JSON.parse(preview.output.slice(preview.output.indexOf("{"))));
  expect(steps.filter(({ op }) => /replace|delete/.test(op))).toEqual([]);
  const vm = steps.find(({ urn }) => urn === VM_URN);
  expect(vm).toMatchObject({ op: "update" });
  expect(vm?.replaceReasons ?? []).toEqual([]);

  // There is no guest behind this API: the update ends before SSH, after all that concerns the VM.
  const up = await workspace.pulumi(["up", "-s", "prod", "--yes"], reachable);
  expect(up.output).toContain("proxmoxve:index:VmLegacy docker-vm updated");
  expect(up.output).toContain("proxmoxve:backup:Job backup-job created");
  expect(up.output).toContain("Unable to read the private SSH key");
  const config = await api
    .client()
    .get("/nodes/pve/qemu/200/config", z.looseObject({ scsi0: z.string(), net0: z.string() }));
  expect(config.scsi0).toMatch(/^local-lvm:vm-200-disk-0,/);
  expect(config.net0).toContain("BC:24:11:AA:BB:CC");
  expect(config["protection"] ?? 0).toBe(0);
});
