import { execFileSync } from "node:child_process";
import { chmod, mkdir, mkdtemp, readFile, rm, symlink, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import * as path from "node:path";

import { sha256OfFile } from "../../../lab/images/digest";
import { addedPaths, readTree, writeLayerTar } from "../../../lab/images/root-tree";

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(path.join(tmpdir(), "homelab-tree-"));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

async function makeRoot(name: string, changedAt: number): Promise<string> {
  const root = path.join(dir, name);
  await mkdir(path.join(root, "usr/bin"), { recursive: true });
  await writeFile(path.join(root, "usr/bin/tool"), "tool");
  await chmod(path.join(root, "usr/bin/tool"), 0o755);
  await symlink("usr/bin", path.join(root, "bin"));
  await utimes(path.join(root, "usr/bin/tool"), changedAt, changedAt);
  return root;
}

describe("a layer", () => {
  it("holds what was added or changed, and nothing else", async () => {
    const root = await makeRoot("root", 1_000);
    const before = await readTree(root);
    await mkdir(path.join(root, "etc"));
    await writeFile(path.join(root, "etc/new file"), "x");
    await symlink("tool", path.join(root, "usr/bin/alias"));
    await writeFile(path.join(root, "usr/bin/tool"), "loot"); // same size
    expect(addedPaths(before, await readTree(root))).toEqual(["etc", "etc/new file", "usr/bin/alias", "usr/bin/tool"]);
  });

  it("notices a changed mode", async () => {
    const root = await makeRoot("root", 1_000);
    const before = await readTree(root);
    await chmod(path.join(root, "usr/bin/tool"), 0o700);
    expect(addedPaths(before, await readTree(root))).toEqual(["usr/bin/tool"]);
  });

  it("can't take away what a layer below has", async () => {
    const root = await makeRoot("root", 1_000);
    const before = await readTree(root);
    await rm(path.join(root, "usr/bin/tool"));
    const after = await readTree(root);
    expect(() => addedPaths(before, after)).toThrow("Unable to make a layer: it removes usr/bin/tool of a layer below");
  });

  it("becomes the same archive whenever it is made", async () => {
    const digests = await Promise.all(
      [1_000, 2_000].map(async (changedAt) => {
        const root = await makeRoot(`root-${changedAt}`, changedAt);
        const file = path.join(dir, `${changedAt}.tar`);
        await writeLayerTar(root, addedPaths(new Map(), await readTree(root)), file);
        return sha256OfFile(file);
      }),
    );
    expect(digests[0]).toBe(digests[1]);
  });

  it("is an uncompressed tar archive that names each path once", async () => {
    const root = await makeRoot("root", 1_000);
    const file = path.join(dir, "layer.tar");
    await writeLayerTar(root, addedPaths(new Map(), await readTree(root)), file);
    expect((await readFile(file)).toString("ascii", 257, 262)).toBe("ustar");
    const listing = execFileSync("tar", ["-tf", file], { encoding: "utf8" });
    expect(listing.trim().split("\n")).toEqual(["bin", "usr/", "usr/bin/", "usr/bin/tool"]);
  });
});
