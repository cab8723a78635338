import type { PolicyResource } from "../../policy/resource";
import { UNKNOWN } from "../../policy/resource";
import { changed, committedFacts, committedResources, judge } from "./judged";

const production = committedResources("prod");
const facts = committedFacts("prod");

const VM = /:VmLegacy$/;
const JOB = /:Job$/;
const STORAGE = /:Directory$/;
const CONTAINER = /:Container$/;
const VOLUME = /:Volume$/;

const REPLACE_VM = { action: "replace", resource: "docker-vm", reason: "A new disk layout." };

test("the committed production passes", () => {
  expect(judge(production, facts)).toEqual([]);
});

test("a VM in no enabled backup job", () => {
  const message =
    "Unable to accept docker-vm (VMID 200): no enabled backup job of this stack takes it. " +
    "Add its VMID to the vmids of a proxmoxve.backup.Job.";
  const expected = [["machine-has-backup-job", "docker-vm", message]];
  const job = (properties: PolicyResource["properties"]): PolicyResource[] =>
    changed(production, "backup-job", JOB, { properties });
  expect(judge(job({ vmids: ["201"] }), facts)).toEqual(expected);
  expect(judge(job({ vmids: UNKNOWN }), facts)).toEqual(expected);
  expect(judge(job({ enabled: false }), facts)).toEqual(expected);
  const without = production.filter(({ name }) => name !== "backup-job");
  expect(judge(without, facts)).toEqual(expected);
  expect(judge(job({ node: "other" }), facts)).toEqual(expected);
  expect(judge(job({ vmids: [], all: true, excludes: ["200", "9200"] }), facts)).toEqual(expected);
  expect(judge(job({ vmids: [], all: true, excludes: ["9200"] }), facts)).toEqual([]);
});

test("a job that takes all guests, drills' too", () => {
  const all = (properties: PolicyResource["properties"]): PolicyResource[] =>
    changed(production, "backup-job", JOB, { properties: { vmids: [], all: true, ...properties } });
  const expected = [
    [
      "backup-leaves-drills-out",
      "backup-job",
      "Unable to accept backup job backup-job: it takes all guests, so also a drill's VM that stands at its time, and no drill " +
        "would begin. List the machines in vmids, or the VMIDs of your drills in excludes.",
    ],
  ];
  expect(judge(all({}), facts)).toEqual(expected);
  expect(judge(all({ excludes: [] }), facts)).toEqual(expected);
  expect(judge(all({ excludes: ["9200"] }), facts)).toEqual([]);
  // A job that does not run takes nothing, and backs nothing up either.
  expect(judge(all({ enabled: false }), facts).map(([rule]) => rule)).toEqual(["machine-has-backup-job"]);
});

test("a Linux container in no backup job", () => {
  const container: PolicyResource = {
    urn: "urn:pulumi:prod::homelab::proxmoxve:index/containerLegacy:ContainerLegacy::dns",
    type: "proxmoxve:index/containerLegacy:ContainerLegacy",
    name: "dns",
    parent: "",
    protect: true,
    properties: { vmId: UNKNOWN },
    clearTexts: [],
  };
  expect(judge([...production, container], facts)).toEqual([
    [
      "machine-has-backup-job",
      "dns",
      "Unable to accept dns (VMID known only after the update): no enabled backup job of this stack takes it. " +
        "Add its VMID to the vmids of a proxmoxve.backup.Job.",
    ],
  ]);
});

test("fewer backups kept than the configuration says", () => {
  const pruneBackups = { "keep-last": "3", "keep-daily": "6" };
  expect(judge(changed(production, "backup-job", JOB, { properties: { pruneBackups } }), facts)).toEqual([
    [
      "backup-retention",
      "backup-job",
      'Unable to accept backup job backup-job: keep-daily is "6", homelab:backup asks for at least 7. ' +
        'Set pruneBackups["keep-daily"] to "7" or more, or lower the number in Pulumi.<stack>.yaml.',
    ],
    [
      "backup-retention",
      "backup-job",
      "Unable to accept backup job backup-job: keep-weekly is missing, homelab:backup asks for at least 4. " +
        'Set pruneBackups["keep-weekly"] to "4" or more, or lower the number in Pulumi.<stack>.yaml.',
    ],
  ]);
  const all = changed(production, "backup-job", JOB, { properties: { pruneBackups: { "keep-all": "1" } } });
  expect(judge(all, facts)).toEqual([]);
});

describe("backups where the machine's disks are", () => {
  const advice =
    "what kills the disk would kill the backup too. " +
    "Set homelab:backupStorage to a storage on another device, such as a NAS.";
  test.each([
    ["local-lvm", "its storage local-lvm also holds disks of VM 200"],
    ["local", "its storage local is the node's own disk"],
  ])("on storage %s", (storage, cause) => {
    expect(judge(changed(production, "backup-job", JOB, { properties: { storage } }), facts)).toEqual([
      ["backup-storage-apart", "backup-job", `Unable to accept backup job backup-job: ${cause}; ${advice}`],
    ]);
  });

  test("on the storage of a data disk", () => {
    const dockerVm = { ...facts.dockerVm, dataDisks: [{ storage: "nas", sizeGiB: 10 }] };
    const vm = changed(production, "docker-vm", VM, { properties: { disks: [{}, {}] } });
    const cause = "its storage nas also holds disks of VM 200";
    expect(judge(vm, committedFacts("prod", { dockerVm }))).toEqual([
      ["backup-storage-apart", "backup-job", `Unable to accept backup job backup-job: ${cause}; ${advice}`],
    ]);
  });

  test("in a folder of the node", () => {
    const onNode = changed(production, "backup-storage", STORAGE, { properties: { path: "/var/lib/vz/backups" } });
    expect(judge(onNode, facts)).toEqual([
      [
        "backup-storage-apart",
        "backup-storage",
        'Unable to accept backup storage nas: its folder "/var/lib/vz/backups" is on the node\'s disk. ' +
          "Use an NFS export, or the path below /mnt at which the NAS is mounted.",
      ],
    ]);
  });

  test("on a volume group of the node", () => {
    const onNode = changed(production, "backup-storage", STORAGE, { type: "proxmoxve:storage/lvm:Lvm" });
    expect(judge(onNode, facts)).toEqual([
      [
        "backup-storage-apart",
        "backup-storage",
        "Unable to accept backup storage nas: it is a disk of the node. " +
          "Use an NFS export, or the path below /mnt at which the NAS is mounted.",
      ],
    ]);
  });
});

describe("what must not be lost", () => {
  test.each([
    ["docker-vm", VM],
    ["backup-job", JOB],
    ["backup-storage", STORAGE],
    ["postgres-data", VOLUME],
  ])("%s without protection, and with a consent", (name, type) => {
    const open = changed(production, name, type, { protect: false });
    expect(judge(open, facts)).toEqual([
      [
        "stateful-protected",
        name,
        `Unable to accept ${name}: it holds what must not be lost and is not protected, so an update could replace or delete it. ` +
          `Declare it with protect: true, or list {action: replace, resource: ${name}, until: …, reason: …} under ` +
          "homelab:consent in Pulumi.prod.yaml.",
      ],
    ]);
    const consent = (until: string) => [{ action: "delete", resource: name, until, reason: "It moves." }];
    expect(judge(open, committedFacts("prod", { consent: consent("2026-11-21T13:00:00+01:00") }))).toHaveLength(1);
    expect(judge(open, committedFacts("prod", { consent: consent("2026-11-21T13:01:00+01:00") }))).toEqual([]);
  });

  test("a volume of data that can be made again may be open", () => {
    const label = { labels: [{ label: "homelab.data", value: "rebuildable" }] };
    const open = changed(production, "postgres-data", VOLUME, { protect: false });
    expect(judge(changed(open, "postgres", CONTAINER, { properties: label }), facts)).toEqual([]);
  });

  test("a production without its VM", () => {
    const without = production.filter(({ type }) => !VM.test(type));
    expect(judge(without, facts)).toEqual([
      [
        "docker-vm-whole",
        "",
        "Unable to accept stack prod: it does not declare VM 200, so the update would delete it. " +
          "Declare it, or list a consent with action: delete under homelab:consent.",
      ],
    ]);
    const until = "2026-11-22T00:00:00Z";
    const consent = [{ ...REPLACE_VM, action: "delete", until }];
    expect(judge(without, committedFacts("prod", { consent }))).toEqual([]);
    expect(judge(without, committedFacts("prod", { consent: [{ ...REPLACE_VM, until }] }))).toHaveLength(1);
  });

  test("a VM without one of its disks", () => {
    const dockerVm = { ...facts.dockerVm, dataDisks: [{ storage: "local-lvm", sizeGiB: 10 }] };
    expect(judge(production, committedFacts("prod", { dockerVm }))).toEqual([
      [
        "docker-vm-whole",
        "docker-vm",
        "Unable to accept VM 200: it declares 1 of the 2 disks of homelab:dockerVm, and the update would detach the rest, which no backup would hold then. " +
          "Declare every disk, or list {action: replace, resource: docker-vm, until: …, reason: …} under homelab:consent in Pulumi.prod.yaml.",
      ],
    ]);
  });

  test("a consent that lasts", () => {
    const consent = [{ ...REPLACE_VM, until: "2026-11-28T12:00:01Z" }];
    expect(judge(production, committedFacts("prod", { consent }))).toEqual([
      [
        "consent-expires",
        "",
        "Unable to accept the consent to replace docker-vm: it runs until 2026-11-28T12:00:01Z, longer than 7 days. " +
          "Set an earlier until under homelab:consent in Pulumi.prod.yaml.",
      ],
    ]);
    const short = [{ ...REPLACE_VM, until: "2026-11-28T12:00:00Z" }];
    expect(judge(production, committedFacts("prod", { consent: short }))).toEqual([]);
  });
});
