/** What the provider refuses of what it finds in Proxmox, before it changes anything: exact texts. */
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createProvider } from "../../provider/plugin";
import { DRILL_TOKENS, LOOKUP_RESTORE_POINT, PROD_TOKENS } from "../../provider/tokens";
import { FakeDrill, urn } from "../provider/support/fake-drill";
import { FakePve, NODE } from "../provider/support/fake-pve";
import { newKeyPair } from "../provider/support/ssh-server";

type Bag = Record<string, unknown>;
const ARCHIVE = "nas:backup/vzdump-qemu-200-2026_11_20-01_00_00.vma.zst";
const LATEST = { choose: "latest" };

describe("the backup to restore", () => {
  test.each<[string, (pve: FakePve) => void, Bag, string]>([
    [
      "is not there",
      (pve) => void (pve.backups = []),
      LATEST,
      "the storage nas has no finished backup of VM 200, and the token could see one. Make one with the backup job, or correct storage and VMID.",
    ],
    [
      "can't be seen by the token: an empty list proves nothing",
      (pve) => {
        pve.backups = [];
        pve.privileges = {};
      },
      LATEST,
      "the list of backups is empty, but the token may not see backups of VM 200, so that proves nothing. Grant it VM.Backup on /vms/200 and Datastore.AllocateSpace on /storage/nas.",
    ],
    [
      "is named and can't be seen by the token",
      (pve) => {
        pve.backups = [];
        pve.privileges = {};
      },
      { choose: "named", archive: ARCHIVE },
      "the list of backups is empty, but the token may not see backups of VM 200, so that proves nothing. Grant it VM.Backup on /vms/200 and Datastore.AllocateSpace on /storage/nas.",
    ],
    [
      "is of another VM",
      () => undefined,
      { choose: "named", archive: ARCHIVE.replace("-200-", "-201-") },
      "nas:backup/vzdump-qemu-201-2026_11_20-01_00_00.vma.zst is an archive of VM 201. Name an archive of VM 200.",
    ],
    [
      "is named and not there",
      () => undefined,
      { choose: "named", archive: ARCHIVE.replace("-01_", "-02_") },
      `nas:backup/vzdump-qemu-200-2026_11_20-02_00_00.vma.zst is not on the storage (there are: ${ARCHIVE}). Name one of these.`,
    ],
    [
      "is on a storage that is offline",
      (pve) => void (pve.storage = { ...pve.storage, active: 0 }),
      LATEST,
      "the storage nas is offline on pve. Check the NAS and its mount.",
    ],
    [
      "is on a storage that is disabled",
      (pve) => void (pve.storage = { ...pve.storage, active: 0, enabled: 0 }),
      LATEST,
      "the storage nas is disabled. Enable it.",
    ],
    [
      "lies on a Proxmox Backup Server",
      (pve) => {
        pve.backups = [];
        pve.storage = { ...pve.storage, type: "pbs" };
      },
      LATEST,
      "the storage nas is a Proxmox Backup Server, whose backups this version does not support. Back the VM up to a storage with vzdump archives too, and name that in homelab:backupStorage.",
    ],
    [
      "is looked for on a storage of another kind",
      (pve) => void (pve.storage = { ...pve.storage, content: "images,iso" }),
      LATEST,
      "the storage nas holds no backups, only images,iso. Name the backup storage.",
    ],
  ])("%s", async (_, arrange, choice, problem) => {
    const pve = new FakePve();
    arrange(pve);
    const lookup = createProvider({ client: pve.client() }).invoke?.(LOOKUP_RESTORE_POINT, {
      ...{ node: NODE, storage: "nas", sourceVmId: 200, choice },
    });
    await expect(lookup).rejects.toThrow(`Unable to find a restore point of VM 200 on storage nas: ${problem}`);
    expect(pve.writes).toEqual([]);
  });
});

describe("the drill's VMID", () => {
  test.each<[string, Bag, string]>([
    [
      "is another's VM",
      { config: { name: "media" }, status: "running" },
      'Unable to begin a run with VM 9200 on pve: the VMID is taken by VM "media" on pve. Remove it if it is left over from a drill, or configure another VMID for drills.',
    ],
  ])("%s", async (_, vm, problem) => {
    await using drill = await FakeDrill.make();
    drill.pve.vms.set(9200, vm as never);
    await expect(drill.create(DRILL_TOKENS.lease, drill.leaseInputs())).rejects.toThrow(problem);
    expect(drill.pve.writes).toEqual([]);
    // The refusal is evidence.
    expect(await readdir(drill.evidenceDir)).toHaveLength(1);
  });

  test("is production's, whatever the configuration says", async () => {
    await using drill = await FakeDrill.make();
    const inputs = { ...drill.leaseInputs(), vmId: 200 };
    const checked = await drill.provider.check?.(urn(DRILL_TOKENS.lease), {}, inputs);
    expect(checked?.failures).toEqual([
      { property: "vmId", reason: "must differ from the source VM 200: a drill never touches production" },
    ]);
  });
});

test("a Docker VM that never answers ends readiness in its time, with what was seen last", async () => {
  const folder = await mkdtemp(join(tmpdir(), "homelab-unreachable-"));
  try {
    await writeFile(join(folder, "key"), newKeyPair().private, { mode: 0o600 });
    const pve = new FakePve();
    pve.vms.set(200, { config: { name: "docker" }, status: "running" });
    // Nothing listens there.
    const ssh = { address: "127.99.0.1", port: 22, user: "homelab", privateKeyFile: join(folder, "key") };
    const created = createProvider({ client: pve.client() }).create?.(urn(PROD_TOKENS.readiness), {
      ...{ node: NODE, vmId: 200, ssh: { ...ssh, knownHostsFile: join(folder, "known_hosts") } },
      ...{ packages: [], timeoutSeconds: 1, vmGeneration: "a" },
    });
    await expect(created).rejects.toThrow(
      "Unable to make VM 200 (127.99.0.1) ready within 1 s: waited for SSH; last seen: Unable to connect to " +
        "homelab@127.99.0.1 by SSH: connect ECONNREFUSED 127.99.0.1:22. " +
        "See the VM's console in Proxmox; if it only boots slowly, raise the time limit.",
    );
  } finally {
    await rm(folder, { recursive: true });
  }
});
