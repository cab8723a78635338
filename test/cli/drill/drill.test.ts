/** The order of commands and what comes of them. What an earlier one left: `standing.test.ts`. */
import { readdir, readFile } from "node:fs/promises";
import path from "node:path";
import type { RunPulumi } from "../../../cli/drill/pulumi";
import { REPO_DIR } from "../../../cli/lab/node-command";
import { archiveAt, DrillCommand } from "./drill-command";

let fake: DrillCommand;
beforeEach(async () => {
  fake = await DrillCommand.make();
});
afterEach(async () => fake[Symbol.asyncDispose]());

test("the newest archives one after another, newest first, each removed before the next, committed files untouched", async () => {
  const before = await readFile(path.join(REPO_DIR, "Pulumi.drill.yaml"), "utf8");
  expect(await fake.run({ selection: { by: "last", count: 2 } })).toBe(0);
  expect(fake.commands).toEqual(
    [20, 20, 19, 19].map((day, n) => `${n % 2 === 0 ? "up" : "destroy"} ${archiveAt(day)}`),
  );
  expect(fake.table()).toEqual([
    "archive | age | verdict | RTO | RPO | reasons",
    "vzdump-qemu-200-2026_11_20-02_00_00.vma.zst | 1.0 h | passed | - | -",
    "vzdump-qemu-200-2026_11_19-02_00_00.vma.zst | 1.0 h | passed | - | -",
  ]);
  expect(await readFile(path.join(REPO_DIR, "Pulumi.drill.yaml"), "utf8")).toBe(before);
});

test("one failed drill fails the row, and the others are still run", async () => {
  fake.outcomes = { [archiveAt(20)]: "failed" };
  expect(await fake.run({ selection: { by: "last", count: 3 } })).toBe(1);
  expect(fake.table()[1]).toBe(
    "vzdump-qemu-200-2026_11_20-02_00_00.vma.zst | 1.0 h | failed | - | - | web: was not checked",
  );
  expect(fake.commands).toHaveLength(6);
});

test("fewer archives than were asked for never end with exit code 0", async () => {
  expect(await fake.run({ selection: { by: "last", count: 5 } })).toBe(1);
  expect(fake.lines).toContain("There are only 3 archives, not 5, so this can't end with exit code 0.");
});

test("archives are named by volume id or file name; one that is not there stops everything before it begins", async () => {
  const names = ["vzdump-qemu-200-2026_11_18-02_00_00.vma.zst", archiveAt(20)];
  expect(await fake.run({ selection: { by: "name", names } })).toBe(0);
  expect(fake.commands.filter((command) => command.startsWith("up"))).toEqual([
    `up ${archiveAt(18)}`,
    `up ${archiveAt(20)}`,
  ]);
  fake.commands = [];
  await expect(fake.run({ selection: { by: "name", names: ["x.vma.zst"] } })).rejects.toThrow(
    "Unable to choose archives of VM 200 on storage nas: nas:backup/x.vma.zst is not there. " +
      `There are: ${archiveAt(20)}, ${archiveAt(19)}, ${archiveAt(18)}.`,
  );
  expect(fake.commands).toEqual([]);
});

test("a Proxmox Backup Server is not said to hold no archives", async () => {
  fake.pve.backups = [];
  fake.pve.storage = { ...fake.pve.storage, type: "pbs" };
  await expect(fake.run({ selection: { by: "last", count: 1 } })).rejects.toThrow(
    "Unable to choose archives of VM 200 on storage nas: it is a Proxmox Backup Server, whose backups this version does not " +
      "support. Back the VM up to a storage with vzdump archives too, and name that in homelab:backupStorage.",
  );
});

test("without a selection the configuration chooses, and --keep leaves a passed drill standing", async () => {
  expect(await fake.run({ keep: true })).toBe(0);
  expect(fake.commands).toEqual(["up configured"]);
  fake.commands = [];
  fake.standing = undefined;
  fake.outcomes = { configured: "failed" };
  expect(await fake.run({ keep: true })).toBe(1);
  expect(fake.commands).toEqual(["up configured", "destroy configured"]);
});

test("a drill that could not begin leaves evidence with Pulumi's words", async () => {
  fake.outcomes = { configured: "refused" };
  expect(await fake.run()).toBe(1);
  expect(fake.table()[1]).toBe("none | - | failed | - | - | the run was refused before it began: has no room");
  const [run = ""] = (await readdir(fake.config.files.evidence)).filter((name) => /^\d/.test(name));
  expect(await readFile(path.join(fake.config.files.evidence, run, "report.md"), "utf8")).toContain("has no room");
});

test("the run of another stack in the same evidence folder is not taken for this drill's", async () => {
  fake.outcomes = { configured: "refused" };
  const beside: RunPulumi = async (args, options) => {
    const result = await fake.pulumi(args, options);
    if (args[0] === "up") await fake.leaves("nas:backup/other.vma", "passed", { stack: "drill-of-another" });
    return result;
  };
  expect(await fake.run({ pulumi: beside })).toBe(1);
  expect(fake.table()[1]).toBe("none | - | failed | - | - | the run was refused before it began: has no room");
});

test("an update that fails in spite of a passed verdict is no passed drill", async () => {
  fake.upResult = { code: 255, output: "error: unable to save the checkpoint" };
  expect(await fake.run()).toBe(1);
  expect(fake.table()[1]).toBe(
    "configured | 1.0 h | none | - | - | " +
      "pulumi up ended with code 255 although the run's verdict is passed: unable to save the checkpoint",
  );
});

test("Ctrl-C removes the VM of the drill under way, ends it as aborted and begins no other", async () => {
  fake.outcomes = { [archiveAt(20)]: "interrupted" };
  await expect(fake.run({ selection: { by: "last", count: 3 } })).rejects.toThrow("Interrupted by SIGINT.");
  expect(fake.commands).toEqual([`up ${archiveAt(20)}`, `destroy ${archiveAt(20)}`]);
  expect(fake.table()[1]).toBe("vzdump-qemu-200-2026_11_20-02_00_00.vma.zst | 1.0 h | aborted | - | - | destroyed");
  expect(fake.lines).toContain("2 of 3 drills were not run or not finished.");
});

test("a destroy that fails stops everything and says what to do", async () => {
  fake.destroyResult = { code: 1, output: "error: Unable to remove VM 9200 on pve: it is locked (backup)." };
  await expect(fake.run({ selection: { by: "last", count: 2 } })).rejects.toThrow(
    "Unable to remove the drill's VM 9200: pulumi destroy -s drill failed: " +
      "Unable to remove VM 9200 on pve: it is locked (backup).\n" +
      "Remove the cause and run pulumi destroy -s drill; no further drill was begun.",
  );
  expect(fake.commands).toHaveLength(2);
});
