/** Builds the layers of the lab's container images: from Debian packages, Go programs and files of this repository. */
import { chmod, copyFile, mkdir, readdir, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import * as path from "node:path";

import { contentKey, ensureCached, exists, type KeyPart } from "../../toolchain/cache";
import { causeOf, CommandError, type Log, run, withProgress } from "../../toolchain/process";
import { ensureGoProgram } from "./go-program";
import { sha256OfFile } from "./digest";
import { type LayerRecipe, layersOf } from "./recipe";
import { addedPaths, readTree, writeLayerTar } from "./root-tree";

const SUITE = "bookworm";

/** Directories that Debian merged into /usr: links in every root, so that packages unpack to where they belong. */
const MERGED = ["bin", "sbin", "lib", "lib64"];

/** A built layer. */
export interface Layer {
  /** Uncompressed tar archive in the cache. */
  file: string;
  /** `sha256:` and the lower-case hexadecimal digest of the archive: its blob digest and its diff id. */
  digest: string;
  sizeBytes: number;
}

/** Builds layers, each at most once, and each after the layers below it. */
export class LayerBuilder {
  private readonly layers = new Map<string, Promise<Layer>>();

  /** `cache`: folder that keeps the layers. */
  constructor(
    private readonly cache: string,
    private readonly log: Log,
  ) {}

  /** Returns a layer from the cache, or builds it. Throws with the failed step and its output. */
  build(recipe: LayerRecipe): Promise<Layer> {
    let layer = this.layers.get(recipe.name);
    if (layer === undefined) {
      layer = this.ensure(recipe);
      this.layers.set(recipe.name, layer);
    }
    return layer;
  }

  private async ensure(recipe: LayerRecipe): Promise<Layer> {
    const dir = path.join(this.cache, `layer-${recipe.name}-${await layerKey(recipe)}`);
    await ensureCached(dir, this.log, (empty) => this.make(recipe, empty));
    const file = path.join(dir, "layer.tar");
    const digest = (await readFile(path.join(dir, "digest"), "utf8")).trim();
    return { file, digest, sizeBytes: (await stat(file)).size };
  }

  private async make(recipe: LayerRecipe, dir: string): Promise<void> {
    if (process.getuid?.() !== 0) {
      throw new Error(
        `Unable to build the image layer ${recipe.name}: this user isn't root, and its files belong to many users. ` +
          `Run the same command as root.`,
      );
    }
    const work = path.join(dir, "work");
    await mkdir(work);
    const [program, packages, below] = await Promise.all([
      recipe.program === undefined ? undefined : ensureGoProgram(recipe.program, this.cache, this.log),
      recipe.packages === undefined ? [] : this.download(recipe.name, recipe.packages, work),
      Promise.all(
        layersOf(recipe)
          .slice(0, -1)
          .map((lower) => this.build(lower)),
      ),
    ]);
    await withProgress(this.log, `assembling the image layer ${recipe.name}`, async () => {
      const file = path.join(dir, "layer.tar");
      await assembleLayer(recipe, {
        root: path.join(work, "root"),
        below,
        packages,
        program,
        file,
      });
      await writeFile(path.join(dir, "digest"), `sha256:${await sha256OfFile(file)}\n`);
      await rm(work, { recursive: true });
    });
  }

  /** Packages as .deb files, chosen and verified by apt with mmdebstrap's own configuration of the suite. */
  private async download(name: string, packages: readonly string[], work: string): Promise<string[]> {
    const debs = path.join(work, "debs");
    await mkdir(debs);
    const hook = `cd "$DEBS" && APT_CONFIG=$MMDEBSTRAP_APT_CONFIG apt-get download -q -o APT::Sandbox::User=root ${packages.join(" ")}`;
    const args = ["--mode=root", "--variant=custom", `--customize-hook=${hook}`, SUITE, path.join(work, "apt")];
    const env = { ...process.env, DEBS: debs, LC_ALL: "C.UTF-8", TMPDIR: work };
    try {
      await withProgress(this.log, `downloading the Debian packages of the image layer ${name}`, (report) =>
        run("mmdebstrap", args, {
          env,
          onLine: (line) => report(line.slice(0, 80)),
        }),
      );
    } catch (error) {
      throw new Error(
        `Unable to download the Debian packages of the image layer ${name}: ${causeOf(error)}\nCheck that apt can reach a ` +
          `Debian mirror and that the packages of the layer's recipe exist in ${SUITE}, then run the same command again.`,
        { cause: error },
      );
    }
    return (await readdir(debs)).sort().map((file) => path.join(debs, file));
  }
}

async function layerKey(recipe: LayerRecipe): Promise<string> {
  const parts: KeyPart[] = ["layer.ts", "root-tree.ts"].map((name) => ({
    path: path.join(__dirname, name),
  }));
  for (const { name, packages, exclude, program, files = {}, finish } of layersOf(recipe)) {
    const targets = Object.keys(files);
    parts.push({
      text: JSON.stringify({
        name,
        packages,
        exclude,
        program,
        targets,
        finish,
      }),
    });
    for (const file of Object.values(files)) parts.push({ path: file });
    if (program !== undefined) parts.push({ path: path.join(__dirname, "go", program.name) });
  }
  return contentKey(parts);
}

async function assembleLayer(
  recipe: LayerRecipe,
  inputs: {
    root: string;
    below: readonly Layer[];
    packages: readonly string[];
    program?: string;
    file: string;
  },
): Promise<void> {
  const { root } = inputs;
  await mkdir(root);
  if (inputs.below.length === 0) await makeMergedRoot(root);
  for (const layer of inputs.below) await run("tar", ["-xpf", layer.file, "--numeric-owner", "-C", root]);
  const before = inputs.below.length === 0 ? new Map<string, string>() : await readTree(root);
  for (const file of inputs.packages) await unpack(file, root, recipe.exclude ?? []);
  if (inputs.program !== undefined) {
    await copyFile(inputs.program, path.join(root, "usr/bin", path.basename(inputs.program)));
  }
  for (const [target, source] of Object.entries(recipe.files ?? {})) {
    const file = path.join(root, target);
    await mkdir(path.dirname(file), { recursive: true });
    await copyFile(source, file);
    await chmod(file, ((await stat(source)).mode & 0o100) === 0 ? 0o644 : 0o755);
  }
  if (recipe.finish !== undefined) await finish(recipe.name, recipe.finish, root);
  await run("ldconfig", ["-r", root]);
  await rm(path.join(root, "var/cache/ldconfig"), {
    recursive: true,
    force: true,
  });
  await checkLibraries(recipe.name, root);
  await writeLayerTar(root, addedPaths(before, await readTree(root)), inputs.file);
}

async function makeMergedRoot(root: string): Promise<void> {
  for (const name of MERGED) {
    await mkdir(path.join(root, "usr", name), { recursive: true });
    await symlink(`usr/${name}`, path.join(root, name));
  }
}

/** As `dpkg-deb --extract`, but through the links of a merged root and without what is excluded. */
async function unpack(file: string, root: string, exclude: readonly string[]): Promise<void> {
  const options = ["-xp", "--keep-directory-symlink", "--anchored", ...exclude.map((name) => `--exclude=./${name}`)];
  await run("sh", [
    "-ec",
    'dpkg-deb --fsys-tarfile "$1" | (shift; exec tar -f - "$@")',
    "sh",
    file,
    ...options,
    "-C",
    root,
  ]);
}

async function finish(name: string, script: string, root: string): Promise<void> {
  const file = `${root}.finish.sh`;
  await writeFile(file, script);
  try {
    await run("sh", ["-eu", file, root]);
  } catch (error) {
    throw new Error(
      `Unable to finish the image layer ${name}: ${causeOf(error)}\nAdapt the script in the layer's recipe.`,
      { cause: error },
    );
  }
}

/** Packages are unpacked without their dependencies, so a missing library must show here and not in a container. */
async function checkLibraries(name: string, root: string): Promise<void> {
  if (!(await exists(path.join(root, "usr/bin/ldd")))) return;
  const script =
    "find /usr/bin /usr/sbin /usr/lib/postgresql -type f ! -name '*.sh' 2>/dev/null | LC_ALL=C sort | while read -r file; do" +
    ' ldd "$file" 2>/dev/null | sed -n "s|^\\t\\(.*\\) => not found.*|$file needs \\1|p"; done';
  const output = await run("chroot", [root, "/bin/sh", "-c", script]).catch((error: unknown) => {
    throw error instanceof CommandError
      ? new Error(`Unable to check the libraries of the image layer ${name}: ${causeOf(error)}`, { cause: error })
      : error;
  });
  if (output.trim() === "") return;
  throw new Error(
    `Unable to build the image layer ${name}: libraries are missing.\n${output.trim()}\n` +
      `Add the packages that hold them to the layer's recipe.`,
  );
}
