/**
 * As much of a Proxmox VE as the provider's resources ask for, in memory: no claim to be one. The lab is what tests against
 * real machines; this is for the order of calls and for failures that are hard to make.
 */
import { PveClient } from "../../../pve/client";
import { printUpid } from "../../../pve/upid";
import { FakeAgent, type FakeGuest, type GuestAnswer } from "./fake-agent";
import { answerOfTasks, type FakeTask } from "./fake-tasks";
import { Refusal } from "./refused-call";

export const NODE = "pve";
export const ARCHIVE = "nas:backup/vzdump-qemu-200-2026_11_20-01_00_00.vma.zst";
const GIB = 2 ** 30;
export const ARCHIVE_TIME = Date.UTC(2026, 10, 20, 1, 0, 0) / 1000;

interface FakeVm {
  config: Record<string, string>;
  status: "running" | "stopped";
}

export class FakePve implements FakeGuest {
  readonly vms = new Map<number, FakeVm>();
  readonly tasks: FakeTask[] = [];
  /** Every call that is no GET, as `METHOD /path`. */
  readonly writes: { call: string; parameters: URLSearchParams }[] = [];
  backups: Record<string, unknown>[] = [
    {
      volid: ARCHIVE,
      ctime: ARCHIVE_TIME,
      size: 1000,
      format: "vma.zst",
      vmid: 200,
      content: "backup",
      notes: "docker",
    },
  ];
  storage: Record<string, unknown> = { type: "dir", content: "backup", active: 1, enabled: 1 };
  /** Storage of the restored disks. */
  diskStorage: Record<string, unknown> = {
    ...{ storage: "local-lvm", type: "lvmthin", content: "images,rootdir", active: 1, enabled: 1 },
    ...{ total: 100 * GIB, avail: 50 * GIB },
  };
  /** Further storages of the node. */
  otherStorages: Record<string, unknown>[] = [];
  /** Disks by storage that no VM's configuration names. */
  orphans: Record<string, string[]> = {};
  memory = { total: 16 * GIB, used: 8 * GIB, free: 4 * GIB, available: 8 * GIB };
  /** The node's clock minus this computer's, in seconds. */
  clockOffsetSeconds = 0;
  /** Backup jobs. */
  jobs: Record<string, unknown>[] = [{ id: "nightly", type: "vzdump", enabled: 1, vmid: "200", storage: "nas" }];
  /** A token that may not see the jobs. */
  jobsUnseen = false;
  /** Guests that Proxmox counts as backed up. */
  readonly vmsInJobs = new Set([200]);
  /** Containers (LXC) by VMID. */
  readonly containers = new Map<number, Record<string, unknown>>();
  /** What stands beside the data of the node's network. */
  networkChanges: string | undefined;
  privileges: Record<string, Record<string, number>> = {
    "/storage/nas": { "Datastore.AllocateSpace": 1, "Datastore.Audit": 1 },
    "/storage": { "Datastore.Audit": 1 },
    "/vms/200": { "VM.Backup": 1, "VM.Audit": 1 },
    "/vms/9200": { "VM.Config.Disk": 1, "VM.Audit": 1 },
    "/vms": { "VM.Audit": 1 },
    "/pool/homelab-drill": { "VM.Allocate": 1 },
    "/pool/homelab-prod": { "VM.Allocate": 1 },
    "/sdn/zones/localnetwork": { "SDN.Audit": 1 },
  };
  interfaces: Record<string, unknown>[] = [
    { iface: "vmbr0", type: "bridge", bridge_ports: "eno1", cidr: "192.168.20.1/24", method: "static", active: 1 },
    { iface: "vmbr99", type: "bridge", bridge_ports: "", method: "manual", active: 1 },
  ];
  /** An archive whose header is damaged. */
  archiveIsDamaged = false;
  archiveConfig = [
    "#Docker host",
    "#qmdump#map:scsi0:drive-scsi0:local-lvm:raw:",
    "agent: enabled=1",
    "balloon: 2048",
    "ide2: local-lvm:vm-200-cloudinit,media=cdrom",
    "memory: 4096",
    "name: docker",
    "net0: virtio=BC:24:11:00:00:01,bridge=vmbr0,firewall=1,tag=20",
    "net1: e1000=BC:24:11:00:00:02,bridge=vmbr0",
    "onboot: 1",
    "scsi0: local-lvm:vm-200-disk-0,size=8G",
    "smbios1: base64=1,manufacturer=SG9tZQ==,uuid=11111111-2222-4333-8444-555555555555",
    "",
  ].join("\n");
  /** Exit status of the next restore. */
  restoreExit = "OK";
  /** A restore that never ends until it is stopped. */
  restoreHangs = false;
  /** Changes what a restore makes. */
  afterRestore: (config: Record<string, string>) => void = () => undefined;
  /** A destroy whose task ends well although the VM stays. */
  destroyLies = false;
  agentAnswers = true;
  /** The guests' clocks minus this computer's, in seconds. */
  guestClockOffsetSeconds = 0;
  /** Called before each call, as `METHOD /path`; what it returns is answered instead, `lost` after the call was handled. */
  disturb: (call: string) => { status: number; text: string; isLost?: boolean } | undefined = () => undefined;
  guest: (command: string[], input: string | undefined) => GuestAnswer = () => ({ exitCode: 0 });
  private readonly agent = new FakeAgent();
  private counter = 0;

  /** A client that talks to this fake and to nothing else. */
  client({ host = "fake", user = "root@pam!t" } = {}): PveClient {
    const credentials = { endpoint: `https://${host}:8006`, token: `${user}=00000000-0000-4000-8000-000000000000` };
    return new PveClient(
      () => credentials,
      async (input, init) => this.answer(new URL(input instanceof Request ? input.url : input), init),
    );
  }

  /** What the server answers to one call. */
  answer(url: URL, init: RequestInit | undefined): Response {
    const method = init?.method ?? "GET";
    const path = decodeURIComponent(url.pathname.replace("/api2/json", ""));
    const parameters =
      method === "GET" || method === "DELETE"
        ? url.searchParams
        : new URLSearchParams(typeof init?.body === "string" ? init.body : "");
    if (method !== "GET") this.writes.push({ call: `${method} ${path}`, parameters });
    try {
      const disturbance = this.disturb(`${method} ${path}`);
      if (disturbance?.isLost !== true && disturbance !== undefined)
        throw new Refusal(disturbance.status, disturbance.text);
      const data = this.handle(method, path, parameters) ?? null;
      if (disturbance !== undefined) throw new Refusal(disturbance.status, disturbance.text);
      const changes = path === `/nodes/${NODE}/network` ? this.networkChanges : undefined;
      return Response.json({ data, changes });
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      const body = { data: null, message: `${error.message}\n`, errors: error.errors };
      return Response.json(body, { status: error.status, statusText: error.message });
    }
  }

  private handle(method: string, path: string, parameters: URLSearchParams): unknown {
    if (path === "/cluster/resources") {
      const vms = [...this.vms].map(([vmid, { config, status }]) => ({
        ...{ vmid, node: NODE, type: "qemu", name: config["name"], status },
      }));
      const containers = [...this.containers].map(([vmid, { hostname }]) => ({
        ...{ vmid, node: NODE, type: "lxc", name: hostname, status: "running" },
      }));
      return [...vms, ...containers];
    }
    if (path === "/cluster/nextid") {
      const vmId = Number(parameters.get("vmid"));
      if (this.vms.has(vmId)) {
        throw new Refusal(400, "Parameter verification failed.", { vmid: `VM ${vmId} already exists` });
      }
      return String(vmId);
    }
    if (path === "/access/permissions") {
      const asked = parameters.get("path");
      return asked === null ? this.privileges : { [asked]: this.privileges[asked] ?? {} };
    }
    if (path === "/cluster/backup") {
      if (this.jobsUnseen) throw new Refusal(403, "Permission check failed (/, Sys.Audit)");
      return this.jobs;
    }
    if (path === "/cluster/backup-info/not-backed-up") {
      return [...this.vms.keys()].filter((vmid) => !this.vmsInJobs.has(vmid)).map((vmid) => ({ vmid, type: "qemu" }));
    }
    if (path === "/pools") return [{ poolid: parameters.get("poolid"), members: [] }];
    if (path === `/nodes/${NODE}/network`) return this.interfaces;
    if (path === `/nodes/${NODE}/vzdump/extractconfig`) {
      if (this.archiveIsDamaged) throw new Refusal(500, "unable to extract config: vma blob is corrupt");
      return this.archiveConfig;
    }
    if (path === `/nodes/${NODE}/storage/nas/content`) return this.backups;
    if (path.startsWith(`/nodes/${NODE}/storage`)) return this.handleStorage(path);
    if (path === `/nodes/${NODE}/time`) {
      const time = Math.floor(Date.now() / 1000) + this.clockOffsetSeconds;
      return { time, localtime: time, timezone: "UTC" };
    }
    if (path === `/nodes/${NODE}/status`) return { memory: this.memory };
    const container = /^\/nodes\/pve\/lxc\/(\d+)\/config$/.exec(path)?.[1];
    if (container !== undefined) return this.containers.get(Number(container));
    if (path === `/nodes/${NODE}/qemu` && method === "POST") return this.create(parameters);
    if (path.startsWith(`/nodes/${NODE}/tasks`)) return answerOfTasks(this.tasks, method, path, parameters);
    const [, vmId, rest] = /^\/nodes\/pve\/qemu\/(\d+)(.*)$/.exec(path) ?? [];
    if (vmId === undefined) throw new Refusal(501, `Method '${method} ${path}' not implemented`);
    return this.handleVm(method, Number(vmId), rest ?? "", parameters);
  }

  private handleStorage(path: string): unknown {
    const storages = [{ storage: "nas", ...this.storage }, this.diskStorage, ...this.otherStorages];
    const [, id, rest] = /^\/nodes\/pve\/storage(?:\/([^/]+)(.*))?$/.exec(path) ?? [];
    if (id === undefined) return storages;
    const found = storages.find(({ storage }) => storage === id);
    if (found === undefined) throw new Refusal(500, `storage '${id}' does not exist`);
    if (rest === "/status") return found;
    if (rest === "/content") return (this.orphans[id] ?? []).map((volid) => ({ volid, content: "images" }));
    throw new Refusal(501, `Method 'GET ${path}' not implemented`);
  }

  private create(parameters: URLSearchParams): string {
    const vmId = Number(parameters.get("vmid"));
    if (parameters.has("archive")) return this.restore(vmId, parameters);
    if (this.vms.has(vmId)) {
      throw new Refusal(500, `unable to create VM ${vmId} - VM ${vmId} already exists on node 'pve'`);
    }
    const config = Object.fromEntries([...parameters].filter(([key]) => key !== "vmid" && key !== "pool"));
    this.vms.set(vmId, { config, status: "stopped" });
    return this.task("qmcreate", vmId, "OK");
  }

  private restore(vmId: number, parameters: URLSearchParams): string {
    if (this.vms.has(vmId) && parameters.get("force") !== "1") {
      throw new Refusal(500, `unable to restore VM ${vmId} - VM ${vmId} already exists on node 'pve'`);
    }
    if (this.restoreHangs || this.restoreExit !== "OK") {
      this.vms.set(vmId, { config: { memory: "128" }, status: "stopped" });
      return this.task("qmrestore", vmId, this.restoreExit, this.restoreHangs);
    }
    const config: Record<string, string> = {};
    for (const line of this.archiveConfig.split("\n").filter((text) => !text.startsWith("#") && text !== "")) {
      const [key = "", ...value] = line.split(": ");
      config[key] = value.join(": ").replaceAll("vm-200-", `vm-${vmId}-`);
    }
    for (const [key, value] of parameters) {
      if (["vmid", "archive", "storage", "unique", "start", "bwlimit", "force", "pool"].includes(key)) continue;
      config[key] = /^net\d+$/.test(key) ? value.replace(/^([^,]+)/, "$1=BC:24:11:99:99:99") : value;
    }
    this.afterRestore(config);
    this.vms.set(vmId, { config, status: "stopped" });
    return this.task("qmrestore", vmId, "OK");
  }

  private handleVm(method: string, vmId: number, rest: string, parameters: URLSearchParams): unknown {
    const vm = this.vms.get(vmId);
    if (vm === undefined) {
      throw new Refusal(500, `Configuration file 'nodes/pve/qemu-server/${vmId}.conf' does not exist`);
    }
    switch (`${method} ${rest}`) {
      case "GET /config":
        return { ...vm.config, digest: "x" };
      case "PUT /config":
        for (const [key, value] of parameters) if (key !== "delete") vm.config[key] = value;
        for (const key of (parameters.get("delete") ?? "").split(",")) Reflect.deleteProperty(vm.config, key);
        return null;
      case "GET /status/current":
        return { status: vm.status, vmid: vmId, name: vm.config["name"] };
      case "POST /status/start":
        vm.status = "running";
        return this.task("qmstart", vmId, "OK");
      case "POST /status/stop":
        vm.status = "stopped";
        return this.task("qmstop", vmId, "OK");
      case "DELETE ":
        if (vm.status === "running") throw new Refusal(500, `VM ${vmId} is running - destroy failed`);
        if (!this.destroyLies) this.vms.delete(vmId);
        if (parameters.get("destroy-unreferenced-disks") === "1") this.orphans = {};
        return this.task("qmdestroy", vmId, "OK");
    }
    if (vm.status !== "running") throw new Refusal(500, `VM ${vmId} is not running`);
    if (!this.agentAnswers) throw new Refusal(500, "QEMU guest agent is not running");
    return this.agent.answer(`${method} ${rest}`, parameters, this);
  }

  private task(type: string, vmId: number, exitStatus: string, running = false): string {
    const startTime = Math.floor(Date.now() / 1000);
    const pid = ++this.counter;
    const upid = printUpid({ node: NODE, pid, pstart: 1, startTime, type, id: String(vmId), user: "root@pam!t" });
    this.tasks.push({ upid, type, vmId, startTime, running, exitStatus });
    return upid;
  }
}
