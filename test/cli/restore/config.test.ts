import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { copyWithOutage, readRestoreConfig } from "../../../cli/restore/config";

const REPO_DIR = resolve(__dirname, "../../..");

test("the committed emergency is accepted and needs nothing to be changed", async () => {
  const { kind, restore, dockerVm } = await readRestoreConfig(REPO_DIR, "restore");
  expect({ kind, restore, vmId: dockerVm.vmId }).toEqual({
    ...{ kind: "restore", vmId: 200 },
    restore: { profile: "catalogue", restorePoint: { choose: "latest" } },
  });
});

test("a stack of another kind is refused by name", async () => {
  await expect(readRestoreConfig(REPO_DIR, "drill")).rejects.toThrow(
    `Unable to use stack "drill": homelab:kind in ${join(REPO_DIR, "Pulumi.drill.yaml")} is drill. ` +
      "Name a stack whose homelab:kind is restore, with --stack.",
  );
});

test("the stated outage stands in quotes in a copy, because Pulumi would make a date of it", async () => {
  const dir = mkdtempSync(join(tmpdir(), "homelab-restore-test-"));
  try {
    writeFileSync(join(dir, "Pulumi.restore.yaml"), "config:\n  homelab:kind: restore\n");
    await using copy = await copyWithOutage(dir, "restore", "2026-11-20T02:00:00Z");
    expect(readFileSync(copy.file, "utf8")).toBe(
      'config:\n  homelab:kind: restore\n  homelab:restore:\n    outageAt: "2026-11-20T02:00:00Z"\n',
    );
    expect(readFileSync(join(dir, "Pulumi.restore.yaml"), "utf8")).not.toContain("outageAt");
  } finally {
    rmSync(dir, { recursive: true });
  }
});
