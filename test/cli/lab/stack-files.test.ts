import { cpSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { readProdConfig, readStackFiles } from "../../../cli/lab/stack-files";

const REPO_DIR = resolve(__dirname, "../../..");
let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "stack-files-"));
  for (const name of ["Pulumi.yaml", "Pulumi.prod.yaml", "Pulumi.drill.yaml"]) {
    cpSync(join(REPO_DIR, name), join(dir, name));
  }
  symlinkSync(join(REPO_DIR, "services"), join(dir, "services"));
});
afterEach(() => rmSync(dir, { recursive: true }));

test("production's file is read alone: a mistake in the drill's keeps nobody from a backup", async () => {
  writeFileSync(join(dir, "Pulumi.drill.yaml"), "config: {homelab:kind: drill, homelab:unknown: 1}\n");
  expect(await readProdConfig(dir, "prod")).toMatchObject({ kind: "prod", backupStorage: "nas" });
  await expect(readStackFiles(dir)).rejects.toThrow("homelab:unknown");
});

test("a stack that is not production, or not there, is refused by name", async () => {
  await expect(readProdConfig(dir, "drill")).rejects.toThrow(
    `Unable to use stack "drill": homelab:kind in ${join(dir, "Pulumi.drill.yaml")} is drill. ` +
      "Name a stack whose homelab:kind is prod, with --stack.",
  );
  await expect(readProdConfig(dir, "live")).rejects.toThrow(
    `Unable to read ${join(dir, "Pulumi.live.yaml")}: there is no such file. Run this in a clone of the project.`,
  );
});
