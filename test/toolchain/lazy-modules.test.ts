import { execFileSync } from "node:child_process";
import path from "node:path";

const ROOT = path.join(__dirname, "..", "..");
const PUT_OFF = [
  /\/typescript\/lib\/typescript\.js$/,
  /\/@npmcli\/arborist\//,
  /\/zod\/v4\/locales\/(?!en\.)\w+\.cjs$/,
];

/** What a program prints as JSON that starts with the hook, or without. */
function run(program: string, args: readonly string[] = ["-r", "./toolchain/typescript.cjs"]): unknown {
  return JSON.parse(execFileSync(process.execPath, [...args, "--eval", program], { cwd: ROOT, encoding: "utf8" }));
}

const loadSdks = 'const pulumi = require("@pulumi/pulumi"); const { z } = require("zod");';
const loadedFiles = "console.log(JSON.stringify(Object.keys(require.cache)));";

test("the SDKs load without what is put off; without the hook they load all of it", () => {
  const [lazily, whole] = [run(loadSdks + loadedFiles), run(loadSdks + loadedFiles, [])] as [string[], string[]];
  for (const pattern of PUT_OFF) {
    expect(lazily.filter((file) => pattern.test(file))).toEqual([]);
    expect(whole.filter((file) => pattern.test(file))).not.toEqual([]);
  }
});

test.each([
  [
    "turning a function into text, by TypeScript",
    `const factor = 3;
     pulumi.runtime.serializeFunction((n) => n * factor).then(({ text }) => console.log(JSON.stringify(text)));`,
    /factor/,
  ],
  [
    "finding the packages that such a function needs, by Arborist",
    `pulumi.runtime.computeCodePaths().then(
       (paths) => console.log(JSON.stringify([...paths.keys()].sort().join())));`,
    /node_modules\/zod/,
  ],
  [
    "messages in another language",
    `z.config(z.locales.de());
     console.log(JSON.stringify([z.string().safeParse(1).error.issues[0].message, Object.keys(z.locales), "fr" in z.locales]));`,
    /Ungültige Eingabe/,
  ],
])("%s is what it is without the hook", (_what, use, expected) => {
  const lazily = run(loadSdks + use);
  expect(JSON.stringify(lazily)).toMatch(expected);
  expect(lazily).toEqual(run(loadSdks + use, []));
});
