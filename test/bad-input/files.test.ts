/** What the `homelab` commands say about stack files that they read without Pulumi. */
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { readProdConfig, readStackFiles } from "../../cli/lab/stack-files";
import { edit, PROJECT, STACKS } from "./project";

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(path.join(tmpdir(), "homelab-files-"));
  symlinkSync(path.resolve(__dirname, "../../services"), path.join(dir, "services"));
  write({});
});
afterEach(() => rmSync(dir, { recursive: true }));

function write(files: { project?: string; prod?: string; drill?: string }): void {
  writeFileSync(path.join(dir, "Pulumi.yaml"), files.project ?? PROJECT);
  writeFileSync(path.join(dir, "Pulumi.prod.yaml"), files.prod ?? STACKS.prod);
  writeFileSync(path.join(dir, "Pulumi.drill.yaml"), files.drill ?? STACKS.drill);
}

test("the fixture is valid", async () => {
  expect(Object.keys((await readStackFiles(dir)).stacks)).toEqual(["drill", "prod"]);
});

test("problems of all files in one message; those of Pulumi.yaml once, though two stacks have them", async () => {
  write({
    project: edit(PROJECT, [["value: example.net", "value: example"]]),
    prod: edit(STACKS.prod, [["keepLast: 3", "keepLast: many"]]),
    drill: edit(STACKS.drill, [["vmId: 9200", "vmId: 200"]]),
  });
  await expect(readStackFiles(dir)).rejects.toThrow(
    "Unable to use the configuration of stacks drill, prod: 3 problems.\n" +
      '- Pulumi.yaml:6: homelab:zone: "example" is not accepted. Expected: a domain such as example.net.\n' +
      "- Pulumi.drill.yaml:4: homelab:drill.vmId: 200 is production's VM (dockerVm.vmId). Expected: a VMID of the drill's own, such as 9200.\n" +
      '- Pulumi.prod.yaml:13: homelab:backup.keepLast: "many" is not accepted. Expected: a whole number from 0.',
  );
});

test.each([
  ["tabs", "config:\n\thomelab:kind: drill\n", "2: Tabs are not allowed as indentation"],
  [
    "a key that stands there twice",
    "config:\n  homelab:kind: drill\n  homelab:kind: prod\n",
    "3: Map keys must be unique",
  ],
  ["a list of keys", "config: [kind]\n", "1: config does not consist of keys and values"],
])("%s", async (_, drill, problem) => {
  write({ drill });
  await expect(readStackFiles(dir)).rejects.toThrow(
    `Unable to use the configuration of stack drill: 1 problem.\n- Pulumi.drill.yaml:${problem}. Correct the YAML.`,
  );
});

test("an empty file has no kind", async () => {
  write({ drill: "" });
  await expect(readStackFiles(dir)).rejects.toThrow(
    "Unable to use the configuration of stack drill: 1 problem.\n" +
      "- Pulumi.drill.yaml: homelab:kind: missing. Expected: prod, drill or restore.",
  );
});

test("a stack without a file", async () => {
  await expect(readProdConfig(dir, "production")).rejects.toThrow(
    `Unable to read ${path.join(dir, "Pulumi.production.yaml")}: there is no such file. Run this in a clone of the project.`,
  );
});

test("two production stacks", async () => {
  writeFileSync(path.join(dir, "Pulumi.prod2.yaml"), STACKS.prod);
  await expect(readStackFiles(dir)).rejects.toThrow(
    "Unable to tell which stack is production: more than one stack file has homelab:kind prod (prod, prod2). Keep exactly one, such as Pulumi.prod.yaml.",
  );
});
