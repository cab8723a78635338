/** What is read of a drill's stack before anything begins. */
import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { readDrillConfig } from "../../../cli/drill/config";
import { REPO_DIR } from "../../../cli/lab/node-command";

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(path.join(tmpdir(), "homelab-drill-config-"));
});
afterEach(async () => rm(dir, { recursive: true }));

test("a stack of another kind is no drill", async () => {
  await writeFile(path.join(dir, "Pulumi.yaml"), "name: homelab\n");
  await writeFile(path.join(dir, "Pulumi.prod.yaml"), "config:\n  homelab:kind: prod\n");
  await expect(readDrillConfig(dir, "prod")).rejects.toThrow(
    `Unable to use stack "prod": homelab:kind in ${dir}/Pulumi.prod.yaml is prod. ` +
      "Name a stack whose homelab:kind is drill, with --stack.",
  );
});

describe("what the configuration and the environment lack is one message, with file and line", () => {
  async function problemsOf(text: string, environment: NodeJS.ProcessEnv): Promise<string> {
    await writeFile(path.join(dir, "Pulumi.yaml"), await readFile(path.join(REPO_DIR, "Pulumi.yaml"), "utf8"));
    await writeFile(path.join(dir, "Pulumi.drill.yaml"), text);
    await cp(path.join(REPO_DIR, "services"), path.join(dir, "services"), { recursive: true });
    return readDrillConfig(dir, "drill", environment).then(
      () => "none",
      (error: unknown) => (error instanceof Error ? error.message : String(error)),
    );
  }

  test("without any environment", async () => {
    const committed = await readFile(path.join(REPO_DIR, "Pulumi.drill.yaml"), "utf8");
    expect(await problemsOf(`encryptionsalt: v1:x\n${committed.replace("vmId: 9200", "vmId: 99")}`, {})).toBe(
      [
        "Unable to use the configuration of stack drill: 4 problems.",
        "- Pulumi.drill.yaml:5: homelab:drill.vmId: 99 is not accepted. Expected: a VMID from 100 to 999999999.",
        "- environment: PROXMOX_VE_ENDPOINT: missing. Expected: https://<node>:8006/, without a path.",
        "- environment: PROXMOX_VE_API_TOKEN: missing. Expected: <user>@<realm>!<name>=<uuid>.",
        "- environment: PULUMI_CONFIG_PASSPHRASE: missing. Expected: the passphrase of the stack's secrets, or a file with it " +
          "in PULUMI_CONFIG_PASSPHRASE_FILE.",
      ].join("\n"),
    );
  });

  test("YAML that can't be read", async () => {
    expect(await problemsOf("config:\n  a: [1\n", {})).toBe(
      "Unable to use the configuration of stack drill: 1 problem.\n" +
        "- Pulumi.drill.yaml:3: Flow sequence in block collection must be sufficiently indented and end with a ]. " +
        "Correct the YAML.",
    );
  });
});
