import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";

const HOOK = path.join(__dirname, "..", "..", "toolchain", "typescript.cjs");

let dir: string;

beforeEach(async () => {
  dir = await mkdtemp(path.join(tmpdir(), "homelab-typescript-"));
});
afterEach(() => rm(dir, { recursive: true }));

/** Runs a program as Pulumi does, with the cache in `dir`. */
async function run(file: string, cache = path.join(dir, "cache")): Promise<{ code: number; out: string; err: string }> {
  const env = { PATH: process.env["PATH"], HOMELAB_CACHE_DIR: cache };
  return new Promise((resolve) => {
    execFile(process.execPath, ["-r", HOOK, path.join(dir, file)], { env }, (error, out, err) =>
      resolve({ code: typeof error?.code === "number" ? error.code : 0, out, err }),
    );
  });
}

const compiled = async (): Promise<string[]> =>
  (await readdir(path.join(dir, "cache", "typescript"))).map((file) => path.join(dir, "cache", "typescript", file));

test("a program runs with what it imports, also in an `import()`, and fields are those of tsconfig.json", async () => {
  await writeFile(path.join(dir, "part.ts"), 'export const word: string = "part";\nexport default class Part {}\n');
  await writeFile(
    path.join(dir, "main.ts"),
    'import Part, { word } from "./part";\nclass Whole { declare field: string; other?: string; }\n' +
      'void import("./part.ts").then((late) => console.log(word, late.word, late.default === Part, Object.keys(new Whole())));\n',
  );
  expect(await run("main.ts")).toEqual({ code: 0, out: "part part true []\n", err: "" });
});

test("what is compiled once is not compiled again, and changed content is another file", async () => {
  const main = path.join(dir, "main.ts");
  await writeFile(main, 'const word: string = "first";\nconsole.log(word);\n');
  expect((await run("main.ts")).out).toBe("first\n");
  const [first = "", ...others] = await compiled();
  expect(others).toEqual([]);
  await writeFile(first, (await readFile(first, "utf8")).replace("first", "from the cache"));
  expect((await run("main.ts")).out).toBe("from the cache\n");

  await writeFile(main, 'const word: string = "second";\nconsole.log(word);\n');
  expect((await run("main.ts")).out).toBe("second\n");
  expect(await compiled()).toHaveLength(2);
});

test("many first starts at once all run, and leave whole files only", async () => {
  await writeFile(path.join(dir, "main.ts"), 'const word: string = "once";\nconsole.log(word);\n');
  const runs = await Promise.all(Array.from({ length: 4 }, () => run("main.ts")));
  expect(runs.map(({ out }) => out)).toEqual(Array(4).fill("once\n"));
  expect(await compiled()).toEqual([expect.stringMatching(/\.js$/)]);
});

test("without a cache that can be written it runs all the same", async () => {
  await writeFile(path.join(dir, "cache"), "a file where a folder is wanted");
  await writeFile(path.join(dir, "main.ts"), 'console.log("runs" satisfies string);\n');
  expect(await run("main.ts")).toEqual({ code: 0, out: "runs\n", err: "" });
});

test("a stack trace names the lines of the TypeScript, also of a copy of a compiled file", async () => {
  const text =
    'interface Shape { a: string }\n\nfunction fail(shape: Shape): never {\n  throw new Error(shape.a);\n}\nfail({ a: "x" });\n';
  await mkdir(path.join(dir, "copy"));
  for (const file of ["main.ts", path.join("copy", "main.ts")]) {
    await writeFile(path.join(dir, file), text);
    const { code, err } = await run(file);
    expect(code).toBe(1);
    expect(err).toContain(`Error: x\n    at fail (${path.join(dir, file)}:4:9)\n    at `);
    expect(err).toContain(`${path.join(dir, file)}:6:1)`);
  }
  expect(await compiled()).toHaveLength(1);
});

test("an error of syntax names file and place", async () => {
  await writeFile(path.join(dir, "main.ts"), "const = 1;\n");
  const { code, err } = await run("main.ts");
  expect(code).toBe(1);
  expect(err).toContain(`Transform failed with 1 error:\n${path.join(dir, "main.ts")}:1:6: ERROR: `);
});
