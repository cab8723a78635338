/**
 * What Pulumi says by itself, before this project's program runs, and what the `homelab` commands say then. Real Pulumi; nothing
 * that it would ask is there.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { explainStart } from "../../cli/pulumi-errors";
import { Workspace } from "./workspace";

jest.setTimeout(120_000);

let workspace: Workspace;
beforeAll(async () => {
  workspace = await Workspace.create();
});
beforeEach(() => workspace.write({}));
afterAll(async () => workspace[Symbol.asyncDispose]());

/** Exit code and errors of a preview, and what the `homelab` commands make of it. */
async function explained(stack: string, environment: NodeJS.ProcessEnv = {}): Promise<[number, string[], unknown]> {
  const { code, errors, output } = await workspace.pulumi(["preview", "-s", stack], environment);
  return [code, errors, explainStart(output, stack)];
}

test("a stack that does not exist", async () => {
  expect(await explained("drlil")).toEqual([
    6,
    ["no stack named 'drlil' found"],
    "Unable to use stack drlil: there is none of this name in the state. Make it with pulumi stack init drlil, or set PULUMI_BACKEND_URL to the backend that has it.",
  ]);
});

test("a wrong passphrase", async () => {
  const wrong = { PULUMI_CONFIG_PASSPHRASE: "wrong" };
  expect(await explained("prod", wrong)).toEqual([
    1,
    ["getting stack configuration: get stack secrets manager: incorrect passphrase"],
    "Unable to use stack prod: its secrets were encrypted with another passphrase than the one in PULUMI_CONFIG_PASSPHRASE or PULUMI_CONFIG_PASSPHRASE_FILE. Set that one.",
  ]);
});

test("no passphrase", async () => {
  expect(await explained("prod", { PULUMI_CONFIG_PASSPHRASE: undefined })).toEqual([
    1,
    [
      "getting stack configuration: get stack secrets manager: passphrase must be set with PULUMI_CONFIG_PASSPHRASE or PULUMI_CONFIG_PASSPHRASE_FILE environment variables",
    ],
    "Unable to use stack prod: no passphrase is set. Set PULUMI_CONFIG_PASSPHRASE or PULUMI_CONFIG_PASSPHRASE_FILE.",
  ]);
});

test.each([undefined, "backups.example.com"])("no backend: PULUMI_BACKEND_URL is %s", async (url) => {
  expect(await explained("drill", { PULUMI_BACKEND_URL: url })).toEqual([
    3,
    ["PULUMI_ACCESS_TOKEN must be set for login during non-interactive CLI sessions"],
    "Unable to use stack drill: Pulumi does not know where its state is: PULUMI_BACKEND_URL is not set or is none of file://, s3://, azblob:// and gs://, and there is no login. Set it to the backend that has the state, or run pulumi login.",
  ]);
});

test("a backend that is not mounted", async () => {
  const dir = join(workspace.dir, "nas", "state");
  expect(await explained("drill", { PULUMI_BACKEND_URL: `file://${dir}` })).toEqual([
    1,
    [`unable to open state directory "file://${dir}": stat ${dir}: no such file or directory`],
    `Unable to use stack drill: the backend file://${dir} can't be opened: stat ${dir}: no such file or directory. Make or mount it, or set PULUMI_BACKEND_URL to the backend that has the state.`,
  ]);
});

test("a bucket that does not answer", async () => {
  const bucket = {
    PULUMI_BACKEND_URL: "s3://state?region=lab&endpoint=127.0.0.1:2&disableSSL=true&s3ForcePathStyle=true",
    AWS_ACCESS_KEY_ID: "operator",
    AWS_SECRET_ACCESS_KEY: "x",
  };
  const [code, , meaning] = await explained("drill", bucket);
  expect(code).toBe(1);
  expect(meaning).toMatch(
    /^Unable to use stack drill: its backend can't be read: .* connection refused\. Check PULUMI_BACKEND_URL, the backend's credentials, and that it can be reached\.$/,
  );
});

test("a stack that another update holds", async () => {
  const locks = join(workspace.dir, "state/.pulumi/locks/organization/homelab/drill");
  mkdirSync(locks, { recursive: true });
  const lock = { pid: 4711, username: "operator", hostname: "desk", timestamp: "2026-11-20T02:00:00Z" };
  const file = join(locks, "11111111-2222-3333-4444-555555555555.json");
  writeFileSync(file, JSON.stringify(lock));
  try {
    const { code, errors, output } = await workspace.pulumi(["destroy", "-s", "drill", "--yes"]);
    expect([code, errors, explainStart(output, "drill")]).toEqual([
      1,
      [
        "the stack is currently locked by 1 lock(s). Either wait for the other process(es) to end or delete the lock file with `pulumi cancel`.\n" +
          `file://${file}?no_tmp_dir=true: created by operator@desk (pid 4711) at 2026-11-20T02:00:00Z`,
      ],
      "Unable to use stack drill: another update holds it (of operator@desk (pid 4711) at 2026-11-20T02:00:00Z). Wait for its end; if it died, release the stack with pulumi cancel -s drill.",
    ]);
  } finally {
    await rm(file);
  }
});

test("a CLI that is too old", async () => {
  await workspace.write({ project: [[">=3.259.0", ">=99.0.0"]] });
  const said = JSON.stringify(await explained("drill")).replaceAll(/\d+\.\d+\.\d+(?=[ -])\S*/g, "X");
  expect(JSON.parse(said)).toEqual([
    1,
    ['Pulumi CLI version X does not satisfy the version range ">=99.0.0"'],
    "Unable to use stack drill: Pulumi X is not of the versions that this project works with (>=99.0.0). Install another Pulumi CLI.",
  ]);
});

test.each([
  [
    "tabs in YAML",
    "config:\n\thomelab:kind: drill\n",
    "getting stack configuration: invalid YAML file: yaml: line 2: found character that cannot start any token",
  ],
  [
    "a key that stands there twice",
    "config:\n  homelab:drill:\n    vmId: 1\n    vmId: 2\n",
    'getting stack configuration: yaml: unmarshal errors:\nline 4: mapping key "vmId" already defined at line 3',
  ],
])("%s", async (_, text, error) => {
  await writeFile(join(workspace.project, "Pulumi.drill.yaml"), text);
  expect(await explained("drill")).toEqual([1, [error], undefined]);
});
