import { createProvider, type StoppableProvider } from "../../provider/plugin";
import { LOOKUP_RESTORE_POINT } from "../../provider/tokens";
import { FakePve, NODE } from "./support/fake-pve";

type Bag = Record<string, unknown>;

let pve: FakePve;
let provider: StoppableProvider;

beforeEach(() => {
  pve = new FakePve();
  provider = createProvider({ client: pve.client() });
});

describe("restore point", () => {
  const lookup = async (more: Bag = {}): Promise<Bag | undefined> => {
    const args = { node: NODE, storage: "nas", sourceVmId: 200, ...more };
    return (await provider.invoke?.(LOOKUP_RESTORE_POINT, args))?.outputs as Bag | undefined;
  };
  const archiveAt = (hour: number, more: Bag = {}): Bag => ({
    volid: `nas:backup/vzdump-qemu-200-2026_11_20-${String(hour).padStart(2, "0")}_00_00.vma.zst`,
    ...{ ctime: Date.UTC(2026, 10, 20, hour) / 1000, size: 5, format: "vma.zst", vmid: 200, ...more },
  });

  test("is the newest by name", async () => {
    pve.backups = [archiveAt(3), archiveAt(5), archiveAt(4), { ...archiveAt(9), volid: "nas:backup/x.vma.dat" }];
    expect(await lookup()).toMatchObject({ archiveTime: Date.UTC(2026, 10, 20, 5) / 1000, notes: "" });
  });

  test("must have a name and a time that agree", async () => {
    pve.backups = [archiveAt(3, { ctime: Date.UTC(2026, 10, 25, 3) / 1000 })];
    await expect(lookup()).rejects.toThrow("which its name contradicts");
  });

  test("can be named, if it exists and is of the VM", async () => {
    pve.backups = [archiveAt(3), archiveAt(5)];
    expect(await lookup({ archive: archiveAt(3)["volid"] })).toMatchObject({ archive: archiveAt(3)["volid"] });
    await expect(lookup({ archive: archiveAt(7)["volid"] })).rejects.toThrow(
      "is not on the storage (there are: nas:backup/",
    );
    await expect(lookup({ archive: String(archiveAt(3)["volid"]).replace("200", "201") })).rejects.toThrow(
      "is an archive of VM 201",
    );
  });

  test("an empty list means no backup only for a token that could see one", async () => {
    pve.backups = [];
    await expect(lookup()).rejects.toThrow("has no finished backup of VM 200, and the token could see one");
    pve.privileges = {};
    await expect(lookup()).rejects.toThrow("so that proves nothing. Grant it VM.Backup on /vms/200");
  });

  test("a storage that is offline is said to be", async () => {
    pve.storage = { ...pve.storage, active: 0 };
    await expect(lookup()).rejects.toThrow("the storage nas is offline on pve");
  });
});
