import { readProdConfig } from "../../cli/lab/stack-files";
import { REPO_DIR } from "../../cli/lab/node-command";
import { findTerraform } from "../../bench/plan-speed";
import { terraformProject } from "../../bench/terraform-project";

interface Project {
  readonly import: { readonly to: string; readonly id: string }[];
  readonly resource: Readonly<Record<string, Readonly<Record<string, Readonly<Record<string, unknown>>>>>>;
}

test("Terraform gets every Proxmox resource of prod, and takes over those that it can", async () => {
  const config = await readProdConfig(REPO_DIR, "prod");
  const project = JSON.parse(terraformProject(config)) as Project;
  const names = Object.entries(project.resource).flatMap(([type, byName]) =>
    Object.keys(byName).map((name) => `${type}.${name}`),
  );
  expect(names.sort()).toEqual([
    "proxmox_backup_job.homelab",
    "proxmox_download_file.image",
    "proxmox_storage_directory.nas",
    "proxmox_virtual_environment_vm.docker",
  ]);
  expect(project.import).toEqual([
    { to: "proxmox_virtual_environment_vm.docker", id: "pve/200" },
    { to: "proxmox_backup_job.homelab", id: "homelab" },
    { to: "proxmox_storage_directory.nas", id: "nas" },
  ]);
  expect(project.resource["proxmox_virtual_environment_vm"]?.["docker"]).toMatchObject({
    vm_id: 200,
    reboot_after_update: false,
    disk: [{ interface: "scsi0", datastore_id: "local-lvm", size: 16 }],
    lifecycle: { ignore_changes: ["disk[0].speed"] },
  });
});

test("a storage that was made by hand is none of Terraform's", async () => {
  const config = await readProdConfig(REPO_DIR, "prod");
  const backup = { ...config.backup, storage: { type: "existing" as const } };
  const project = JSON.parse(terraformProject({ ...config, backup })) as Project;
  expect(project.resource).not.toHaveProperty("proxmox_storage_directory");
  expect(project.import.map(({ id }) => id)).toEqual(["pve/200", "homelab"]);
});

test("without terraform there is nothing to compare with", async () => {
  await expect(findTerraform("/nonexistent")).resolves.toBeUndefined();
});
