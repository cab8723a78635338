/** What of a guest goes into an archive, and how vzdump speaks about it. */
import { archivedConfig, guestDisks } from "../../../lab/backup/guest-disks";
import { JobLock } from "../../../lab/backup/job-lock";
import { renderNotes } from "../../../lab/backup/notes";
import {
  renderArchiveSize,
  renderBytes,
  renderClock,
  renderCtime,
  renderDuration,
  renderPercent,
  renderRate,
} from "../../../lab/backup/render";

describe("disks of a guest", () => {
  const config = {
    efidisk0: "local-lvm:vm-200-disk-5,size=4M",
    ide0: "local:iso/debian.iso,media=cdrom",
    ide2: "local-lvm:vm-200-cloudinit,media=cdrom",
    ide3: "none,media=cdrom",
    scsi0: "local-lvm:vm-200-disk-0,size=8G",
    scsi10: "local-lvm:vm-200-disk-2,backup=1",
    scsi2: "local-lvm:vm-200-disk-1,backup=0,size=1G",
    unused0: "local-lvm:vm-200-disk-7",
  };

  test("are included but for CD-ROMs, cloud-init, unused ones, and those that say backup=0", () => {
    expect(guestDisks(config).map(({ key, excluded }) => [key, excluded])).toEqual([
      ["efidisk0", "efidisk but no OMVF BIOS"],
      ["scsi0", undefined],
      ["scsi2", "backup=no"],
      ["scsi10", undefined],
    ]);
    expect(guestDisks({ ...config, bios: "ovmf" })[0]?.excluded).toBeUndefined();
  });

  test("the archive has the current section and the map, and names what it lacks", () => {
    const text = `#docker\nlock: backup\nparent: s1\nscsi0: local-lvm:vm-200-disk-0,size=8G\nunused0: local-lvm:vm-200-disk-7

[PENDING]
memory: 8192

[s1]
memory: 1024
`;
    const archived = archivedConfig(text, guestDisks(config));
    expect(archived.text).toBe(
      "#docker\nscsi0: local-lvm:vm-200-disk-0,size=8G\n\n" +
        "#qmdump#map:scsi0:drive-scsi0:local-lvm:raw:\n#qmdump#map:scsi10:drive-scsi10:local-lvm:raw:\n",
    );
    expect(archived.remarks).toEqual([
      "skip unused drive 'local-lvm:vm-200-disk-7' (not included into backup)",
      "pending configuration changes found (not included into backup)",
      "snapshots found (not included into backup)",
    ]);
  });
});

describe("notes", () => {
  const variables = { cluster: "", guestname: "docker", node: "pve", vmid: 200 };

  test("variables and escapes are resolved", () => {
    expect(renderNotes("{{guestname}} ({{vmid}}) on {{node}}\\nC:\\\\x", variables)).toBe("docker (200) on pve\nC:\\x");
  });

  test("unknown ones are refused", () => {
    expect(() => renderNotes("{{owner}}", variables)).toThrow("unexpected variable name 'owner'");
    expect(() => renderNotes("\\t", variables)).toThrow("unexpected escape character 't'");
  });
});

test("numbers look as in PVE's logs", () => {
  expect([renderBytes(512), renderBytes(2.5 * 1024 ** 3, 1), renderBytes(8 * 1024 ** 3)]).toEqual([
    "512.00 B",
    "2.5 GiB",
    "8.00 GiB",
  ]);
  expect([renderRate(0, 3), renderRate(3 * 1024 ** 2, 3)]).toEqual(["0 B/s", "1.0 MiB/s"]);
  expect([renderDuration(0), renderDuration(65), renderDuration(3600)]).toEqual(["0s", "1m 5s", "1h"]);
  expect([renderArchiveSize(412.9 * 1024 ** 2), renderArchiveSize(1.5 * 1024 ** 3)]).toEqual(["412MB", "1.50GB"]);
  expect(renderClock(3725)).toBe("01:02:05");
  expect(renderCtime(new Date(2023, 8, 5, 15, 29, 21))).toBe("Tue Sep  5 15:29:21 2023");
  expect([renderPercent(96.1987), renderPercent(0.20742)]).toEqual(["96.2", "0.207"]);
});

describe("the job lock", () => {
  const context = (
    signal = new AbortController().signal,
  ): { lines: string[]; log: (line: string) => void; signal: AbortSignal } => {
    const lines: string[] = [];
    return { lines, log: (line) => void lines.push(line), signal };
  };

  test("lets one job after another in, in order", async () => {
    const lock = new JobLock();
    const first = await lock.acquire(1, context());
    const order: string[] = [];
    const second = lock.acquire(1, context()).then((held) => (order.push("second"), held));
    const third = lock.acquire(1, context()).then((held) => (order.push("third"), held));
    first[Symbol.dispose]();
    (await second)[Symbol.dispose]();
    (await third)[Symbol.dispose]();
    expect(order).toEqual(["second", "third"]);
  });

  test("gives up in PVE's words, and what gave up is not in the way", async () => {
    const lock = new JobLock();
    const held = await lock.acquire(1, context());
    await expect(lock.acquire(0, context())).rejects.toThrow("can't acquire lock '/var/run/vzdump.lock' (wait = 0)");
    await expect(lock.acquire(0.0001, context())).rejects.toThrow(
      "can't acquire lock '/var/run/vzdump.lock' - got timeout",
    );
    const abort = new AbortController();
    const stopped = lock.acquire(1, context(abort.signal));
    abort.abort();
    await expect(stopped).rejects.toThrow("interrupted by signal");
    held[Symbol.dispose]();
    (await lock.acquire(0, context()))[Symbol.dispose]();
  });
});
