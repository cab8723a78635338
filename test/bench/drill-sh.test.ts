/** The real script against the lab's API without machines: what it refuses, and what it is made of. */
import { execFile } from "node:child_process";
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { promisify } from "node:util";
import { ApiLab, TOKEN } from "../lab/api-lab";

const SCRIPT = resolve(__dirname, "../../bench/drill.sh");
const ARCHIVE = "nas:backup/vzdump-qemu-200-2026_11_20-02_00_00.vma.zst";
const ARCHIVE_CONFIG = [
  ...["agent: enabled=1", "cores: 2", "memory: 2048", "name: docker"],
  ...["net0: virtio=BC:24:11:00:00:01,bridge=vmbr0", "scsi0: local-lvm:vm-200-disk-0,iothread=1,size=16G"],
  ...["#qmdump#map:scsi0:drive-scsi0:local-lvm:raw:", ""],
].join("\n");
/** Everything that the script may call: curl and what POSIX has. */
const TOOLS = ["sh", "sed", "grep", "sleep", "mkdir", "rm", "cat"];

interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  /** All arguments of all its curls. */
  readonly curlArguments: string;
}

let dir: string;
let api: ApiLab;

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), "homelab-drill-sh-"));
  api = await ApiLab.start();
  await api.ok("POST", "/storage", { storage: "nas", type: "dir", path: "/mnt/pve/nas", content: "backup" });
  const file = api.lab.volumes.pathOf(ARCHIVE);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, ARCHIVE_CONFIG);
});

afterEach(async () => {
  await api[Symbol.asyncDispose]();
  rmSync(dir, { recursive: true });
});

/** With a PATH that has the allowed tools only, and a curl that takes down its arguments. */
async function run(environment: Record<string, string> = {}): Promise<Ended> {
  const log = join(dir, "curl.log");
  const bin = join(dir, "bin");
  mkdirSync(bin);
  for (const tool of TOOLS) symlinkSync(await which(tool), join(bin, tool));
  const curl = join(bin, "curl");
  writeFileSync(curl, `#!/bin/sh\nprintf '%s\\n' "$@" >>'${log}'\nexec ${await which("curl")} "$@"\n`);
  chmodSync(curl, 0o755);
  const checks = join(dir, "checks.sh");
  writeFileSync(checks, "container postgres healthy\n");
  const env = {
    PATH: bin,
    TMPDIR: dir,
    PROXMOX_VE_ENDPOINT: `${api.endpoint}/`,
    PROXMOX_VE_API_TOKEN: TOKEN,
    SSL_CERT_FILE: join(api.lab.spec.dir, "tls", "ca.pem"),
    ...{ NODE: "pve", ARCHIVE, SOURCE_VMID: "200", VMID: "9200", VM_NAME: "drill", STORAGE: "local-lvm" },
    ...{
      BRIDGE: "vmbr99",
      POOL: "homelab-drill",
      MEMORY_MIB: "1024",
      ROOT_CERTIFICATE: "/dev/null",
      LIMIT_SECONDS: "5",
    },
    ISOLATED: "192.168.20.1/53",
    ...environment,
  };
  return new Promise((done) => {
    execFile(join(bin, "sh"), [SCRIPT, checks], { env, timeout: 60_000 }, (error, stdout, stderr) => {
      const code = error === null ? 0 : Number(error.code);
      done({ code, stdout, stderr, curlArguments: readFileSync(log, "utf8") });
    });
  });
}

async function which(tool: string): Promise<string> {
  const { stdout } = await promisify(execFile)("/bin/sh", ["-c", `command -v ${tool}`]);
  return stdout.trim();
}

const config = (bridge: string): Record<string, string> => ({
  ...{ name: "drill", agent: "enabled=1", smbios1: "uuid=11111111-2222-3333-4444-555555555555" },
  ...{ net0: `virtio=BC:24:11:00:00:02,bridge=${bridge}`, scsi0: "local-lvm:vm-9200-disk-0,size=16G" },
});

test("it asks for what a drill asks for: its own identity, every card on the isolated bridge, nothing started", async () => {
  const ended = await run();
  expect(ended.code).toBe(1);
  const [restore] = api.backups.restores;
  expect(restore).toMatchObject({
    ...{ vmId: 9200, storage: "local-lvm", unique: true },
    overrides: {
      ...{ name: "drill", onboot: "0", protection: "0", memory: "1024" },
      smbios1: expect.stringMatching(/^uuid=[0-9a-f-]{36}$/) as string,
      net0: expect.stringMatching(/,bridge=vmbr99$/) as string,
    },
  });
  expect(ended.stdout).toMatch(/^phase restore \d+\.\d\d\n$/);
  // The engine without machines gave the VM no identity.
  expect(ended.stderr).toContain(`Unable to drill ${ARCHIVE}: VM 9200 has not the UUID of this run.`);
  expect(api.machines.running.size).toBe(0);
});

test("a restored VM on another bridge is never started", async () => {
  api.backups.onRestore = (request) =>
    request.writeConfig({ ...config("vmbr0"), smbios1: request.overrides?.["smbios1"] ?? "" });
  const ended = await run();
  expect(ended.stderr).toContain("VM 9200 is not isolated");
  expect(api.machines.running.size).toBe(0);
});

test("its wait for the guest agent has an end", async () => {
  api.backups.onRestore = (request) =>
    request.writeConfig({ ...config("vmbr99"), smbios1: request.overrides?.["smbios1"] ?? "" });
  const ended = await run();
  expect(ended.stdout).toMatch(/phase verify .*\nphase start /);
  expect(ended.stderr).toContain("no end within 5 s; waited for the guest agent");
}, 20_000);

test.each([
  ["an archive that is not there", { ARCHIVE: ARCHIVE.replace("02_00", "03_00") }, "storage nas does not have it"],
  ["a VMID that is taken", { VMID: "300" }, "VMID 300 is taken"],
  ["a bridge with an address", { BRIDGE: "vmbr0" }, "bridge vmbr0 does not isolate"],
  ["a node without the memory", { MEMORY_MIB: "8000" }, "node pve has no memory for 8000 MiB"],
])("it refuses %s before anything is changed", async (_, environment, problem) => {
  await api.ok("POST", "/nodes/pve/qemu", { vmid: 300, name: "other", net0: "virtio,bridge=vmbr0" });
  const ended = await run(environment);
  expect(ended.code).toBe(1);
  expect(ended.stderr).toContain(problem);
  expect(api.backups.restores).toEqual([]);
});

test.each([
  ["takes all guests", { all: 1, exclude: "101" }, true],
  ["names it", { vmid: "200,9200" }, true],
  ["leaves it out", { all: 1, exclude: "101,9200" }, false],
  ["is disabled", { all: 1, enabled: 0 }, false],
])("a backup job that %s", async (_, job, isRefused) => {
  const common = { schedule: "02:00", storage: "nas" };
  await api.ok("POST", "/cluster/backup", { id: "first", vmid: 200, ...common });
  await api.ok("POST", "/cluster/backup", { id: "nightly", ...common, ...job });
  const { stderr } = await run();
  expect(stderr.includes("a backup job takes VM 9200")).toBe(isRefused);
  expect(api.backups.restores).toHaveLength(isRefused ? 0 : 1);
});

test("the token is in no command line, and nothing of its files stays", async () => {
  const { curlArguments } = await run();
  expect(curlArguments).toContain("archive=nas:backup/");
  expect(curlArguments).not.toContain(TOKEN.split("=")[1]);
  expect(readdirSync(dir).sort()).toEqual(["bin", "checks.sh", "curl.log"]);
});
