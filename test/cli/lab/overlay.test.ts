import { resolve } from "node:path";
import { parse } from "yaml";
import { buildOverlay, printOverlay, type OverlayArgs } from "../../../cli/lab/overlay";
import { applyOverlay, readStackFiles, type StackFiles } from "../../../cli/lab/stack-files";
import { readRawConfig } from "../../../stacks/raw-config";

const REPO = resolve(__dirname, "../../..");
let files: StackFiles;
let args: OverlayArgs;

beforeAll(async () => {
  files = await readStackFiles(REPO);
  args = {
    stacks: files.stacks,
    evidenceDir: "/clone/drills",
    trustDir: "/lab/project/trust",
    knownHostsFile: "/lab/home/known_hosts",
    imagesLockFile: "/lab/project/images.lock.json",
    sshKeyFile: "/lab/home/.ssh/id_ed25519",
    sshPublicKey: "ssh-ed25519 AAAA lab",
    cloudImageSha256: "a".repeat(64),
    secretKeys: files.secretKeys,
    machineNote: "virtual machines by QEMU",
    scheduler: true,
  };
});

test("the committed stacks are read with their secrets still to be made", () => {
  expect(Object.keys(files.stacks).sort()).toEqual(["drill", "prod", "restore"]);
  expect(files.prod.name).toBe("prod");
  expect(files.secretKeys).toContain("postgresPassword");
  expect(files.images.length).toBeGreaterThan(1);
  expect(new Set(files.images).size).toBe(files.images.length);
});

test("the overlay shows exactly what differs", () => {
  const text = printOverlay(buildOverlay(args), files.stacks);
  const shown = parse(text) as Record<string, Record<string, unknown>>;
  expect(Object.keys(shown["prod"] ?? {}).sort()).toEqual(["cloudImage", "dockerVm", "environmentNotes", "files"]);
  expect(Object.keys(shown["drill"] ?? {}).sort()).toEqual(["dockerVm", "environmentNotes", "files"]);
  expect(shown["prod"]?.["dockerVm"]).toEqual({
    sshAuthorizedKey: "ssh-ed25519 AAAA lab",
    sshPrivateKeyFile: "/lab/home/.ssh/id_ed25519",
  });
  expect(shown["prod"]?.["cloudImage"]).toEqual({ checksum: `sha256:${"a".repeat(64)}` });
  expect(String(shown["drill"]?.["environmentNotes"])).toContain("Not a real Proxmox VE");
});

test("what the lab does otherwise stands in the notes of every run", () => {
  const { config } = files.prod;
  const storage = { type: "nfs" as const, server: "nas.lan", export: "/tank" };
  const stacks = { prod: { ...config, backup: { ...config.backup, storage } } };
  const notes = buildOverlay({ ...args, stacks, scheduler: false })["prod"]?.["environmentNotes"];
  expect(notes).toContain("The NFS export nas.lan:/tank is a folder of the lab's; the NAS itself is never contacted.");
  expect(notes).toContain("Backup jobs start by hand only; their schedules are declared but rest.");
});

test("a stack file with the overlay keeps everything else", () => {
  const overlay = buildOverlay(args);
  const project = parse(files.project) as unknown;
  for (const [stack, text] of Object.entries(files.texts)) {
    const before = readRawConfig(project, parse(text)).raw;
    const after = readRawConfig(project, parse(applyOverlay(text, overlay[stack] ?? {}))).raw;
    for (const [key, value] of Object.entries(before)) {
      if (!(key.replace("homelab:", "") in (overlay[stack] ?? {}))) expect([key, after[key]]).toEqual([key, value]);
    }
  }
});

test("the operator's secrets and encryption never enter the lab", () => {
  const text = [
    "encryptionsalt: v1:abc",
    "config:",
    "  # a comment of the operator",
    "  homelab:kind: prod",
    "  homelab:postgresPassword:",
    "    secure: v1:def",
    "",
  ].join("\n");
  const lab = applyOverlay(text, { files: { trust: "/t" } });
  expect(lab).not.toMatch(/v1:|secure|encryptionsalt/);
  expect(lab).toContain("# a comment of the operator");
  expect(parse(lab)).toEqual({ config: { "homelab:kind": "prod", "homelab:files": { trust: "/t" } } });
});

test("an empty stack file gets its keys too", () => {
  expect(parse(applyOverlay("", { a: 1 }))).toEqual({ config: { "homelab:a": 1 } });
});

test("a lab for one stack replaces nothing else and claims nothing about images", () => {
  const overlay = buildOverlay({ ...args, onlyStack: "drill" });
  expect(Object.keys(overlay)).toEqual(["drill"]);
  expect(overlay["drill"]?.["environmentNotes"]).toEqual([
    "Rehearsal lab: emulated Proxmox VE API, virtual machines by QEMU. Not a real Proxmox VE.",
    "The outside (1.1.1.1) is the lab's own node; nothing beyond the lab is reached.",
  ]);
});
