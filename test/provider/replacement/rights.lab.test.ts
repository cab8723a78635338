/** A replacement with production's token and no more rights than `homelab roles` gives it; what it lacks is named beforehand. */
import { resolve } from "node:path";
import { accessOf } from "../../../cli/lab/access-rules";
import { readStackFiles } from "../../../cli/lab/stack-files";
import type { AccessRules } from "../../../lab/privileges/access-control";
import { BrokenVm, KEPT_DISKS, RESTORED_DISKS } from "../support/broken-vm";

jest.setTimeout(120_000);

const TOKEN = "homelab-prod@pve!iac=22222222-2222-3333-4444-555555555555";

async function access(without: (path: string) => boolean = () => false): Promise<AccessRules> {
  const { stacks } = await readStackFiles(resolve(__dirname, "../../.."));
  const rules = accessOf(stacks);
  // The committed homelab has disks on local-lvm only; this broken VM has one on local too.
  const disksOnLocal = { path: "/storage/local", who: "homelab-prod@pve", role: "HomelabProdDisks", propagate: true };
  return { ...rules, acl: [...rules.acl, disksOnLocal].filter(({ path }) => !without(path)) };
}

test("the rights of the roles' script are enough, and last beyond the old VM", async () => {
  await using broken = await BrokenVm.make(await access(), TOKEN);
  const { vm } = await broken.restore(broken.consent());
  expect(vm).toMatchObject({ status: "passed", reason: "" });
  expect(await broken.disks()).toEqual({ ...KEPT_DISKS, ...RESTORED_DISKS });
});

test("a right that is missing is named before anything is changed", async () => {
  await using broken = await BrokenVm.make(await access((path) => path === "/storage/local"), TOKEN);
  const before = broken.writes().length;
  const { vm } = await broken.restore(broken.consent());
  expect(vm).toMatchObject({
    status: "failed",
    reason:
      "Unable to replace VM 200 on pve: the token lacks Datastore.AllocateSpace on /storage/local. Nothing was changed. Run the script " +
      'that "npm run homelab -- roles" prints, grant what it does not know by hand, and run the restore again.',
  });
  expect(broken.writes().slice(before)).toEqual([]);
});
