/** What the tests of a guest's API calls share. */
import { ApiLab } from "./api-lab";

export const QEMU = "/nodes/pve/qemu";
export const GIB = 1024 ** 3;

/** What bpg v0.111 sends for an imported disk with cloud-init. */
export const CREATE = {
  vmid: 200,
  acpi: 1,
  agent: "enabled=1,fstrim_cloned_disks=1,type=virtio",
  balloon: 0,
  boot: "order=scsi0",
  ciuser: "ops",
  cores: 2,
  cpu: "x86-64-v2-AES",
  description: "Docker VM: 100% managed\nby Pulumi",
  ide2: "file=local-lvm:cloudinit,",
  ide3: "file=cdrom,media=cdrom,",
  ipconfig0: "gw=192.168.20.1,ip=192.168.20.200/24",
  memory: 1536,
  name: "docker",
  net0: "model=virtio,bridge=vmbr0,firewall=0",
  onboot: 1,
  protection: 0,
  scsi0: "file=local-lvm:1,format=raw,size=1073741824,aio=io_uring,backup=1,discard=on",
  scsihw: "virtio-scsi-single",
  sshkeys: "ssh-ed25519%20AAAA%20me%40x",
  tags: "b;A;b",
  template: 0,
};

/** Runs a test against a lab of its own. */
export async function withLab(run: (api: ApiLab) => Promise<void>): Promise<void> {
  await using api = await ApiLab.start();
  await run(api);
}

/** Configuration of a guest as the API gives it; `current` 0 includes what waits for the next start. */
export async function config(api: ApiLab, vmId = 200, current = 0): Promise<Record<string, string | number>> {
  return (await api.ok("GET", `${QEMU}/${vmId}/config`, { current })) as Record<string, string | number>;
}
