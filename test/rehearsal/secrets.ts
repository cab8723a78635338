/** After everything else: what it left is searched for every secret, and the cluster that was planted has met nobody. */
import { readFileSync, readdirSync, statSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { z } from "zod";
import { type Planted, plantedSchema } from "../support/planted-cluster";
import type { ProcessWatch } from "../support/process-watch";
import { inGuest, lab, outputs, pulumiAnyway } from "../support/rehearsal-lab";
import { copyOfProject } from "../support/drill-run";
import { filesBelow, findSecrets, type Secrets, secretsIn } from "../support/secret-search";

const MINUTE = 60_000;
const ROOT_KEY = "docker exec reverse-proxy cat /data/caddy/pki/authorities/local/root.key";

/** Files whose purpose is to hold secrets, below the lab's folder. */
const HOLDERS = [
  ...["environment.json", "secrets.json", "spec.json", "tokens.json", "tls/server-key.pem"],
  ...["home/prod.env", "home/drill.env", "home/.ssh/id_ed25519"],
];

function readJson<T>(schema: z.ZodType<T>, file: string): T {
  return schema.parse(JSON.parse(readFileSync(file, "utf8")));
}

/** A long line of the middle of a PEM file: the first and the last are too much like those of other keys. */
function keyMaterial(pem: string): string {
  const lines = pem.split("\n").filter((line) => line.length > 0 && !line.startsWith("-----"));
  return lines[Math.floor(lines.length / 2)] ?? "";
}

/** Every secret that this lab has. */
async function secretsOfLab(): Promise<Secrets> {
  const { secretsFile, tokensFile, environmentFile, sshKey, dir } = lab();
  const texts = z.record(z.string(), z.string());
  const environment = readJson(texts, environmentFile);
  const tokens = Object.entries(readJson(texts, tokensFile)).map(([holder, token]) => [
    `API token of ${holder}`,
    token.split("=")[1] ?? "",
  ]);
  return {
    ...readJson(texts, secretsFile),
    ...(Object.fromEntries(tokens) as Secrets),
    "Cloudflare token": environment["CLOUDFLARE_API_TOKEN"] ?? "",
    passphrase: environment["PULUMI_CONFIG_PASSPHRASE"] ?? "",
    "SSH key": keyMaterial(readFileSync(sshKey, "utf8")),
    "TLS key of the node": keyMaterial(readFileSync(join(dir, "tls/server-key.pem"), "utf8")),
    "root key of the proxy": keyMaterial(await inGuest(200, ROOT_KEY)),
  };
}

/** Guests' disks and archives hold what production holds, and the images are public. */
function isDisk(file: string): boolean {
  return /\/storage\/[^/]+\/.*-disk-\d+|\.(?:qcow2|raw|vma|vma\.(?:zst|gz|lzo)|node)$/.test(file);
}

/** Logs of this run, outside the lab's folder. */
function logsOfThisRun(): string[] {
  const logs = join(process.env["HOMELAB_CACHE_DIR"] ?? "", "logs");
  const started = statSync(lab().ownerFile).birthtimeMs;
  const files = readdirSync(logs).map((name) => join(logs, name));
  return files.filter((file) => statSync(file).mtimeMs >= started);
}

function planted(): Planted {
  return readJson(plantedSchema, process.env["HOMELAB_TEST_PLANTED"] ?? "");
}

export function secretTests(watch: () => ProcessWatch): void {
  let secrets: Secrets = {};

  test(
    "files whose purpose is to hold secrets are their owner's alone, and the search finds each secret in them",
    async () => {
      secrets = await secretsOfLab();
      const files = HOLDERS.map((name) => join(lab().dir, name));
      expect(files.map((file) => [file, (statSync(file).mode & 0o777).toString(8)])).toEqual(
        files.map((file) => [file, "600"]),
      );
      const found = new Set(files.flatMap((file) => secretsIn(readFileSync(file), secrets)));
      // That one is kept on no disk but the Docker VM's.
      const onDisk = Object.keys(secrets).filter((name) => name !== "root key of the proxy");
      expect([...found].sort()).toEqual(onDisk.sort());
    },
    MINUTE,
  );

  test(
    "no secret stands in state, stack files, evidence, logs, cloud-init drives or any other file",
    () => {
      const holders = [...HOLDERS, "planted.json"].map((name) => join(lab().dir, name));
      const files = filesBelow(lab().dir, (file) => isDisk(file) || holders.includes(file));
      for (const expected of [lab().requestLog, lab().logFile]) expect(files).toContain(expected);
      for (const folder of [lab().state, join(lab().dir, "drills"), lab().project]) {
        expect(files.some((file) => file.startsWith(folder))).toBe(true);
      }
      expect(files.some((file) => file.endsWith("vm-200-cloudinit"))).toBe(true);
      const logs = logsOfThisRun();
      expect(logs.length).toBeGreaterThan(0);
      expect(findSecrets([...files, ...logs], { ...secrets, "planted token": planted().apiToken })).toEqual([]);
    },
    2 * MINUTE,
  );

  test("no secret stands in anything that a command has printed: previews, updates, errors", () => {
    expect(outputs.some((text) => text.includes("pulumi:pulumi:Stack"))).toBe(true);
    expect(outputs.flatMap((text) => secretsIn(text, secrets))).toEqual([]);
  });

  test(
    "no secret stood in the command line of a process, on this machine or in the Docker VM",
    async () => {
      const lines = watch().commandLines;
      expect(lines.some((line) => line.includes("pulumi-resource-"))).toBe(true);
      expect(lines.filter((line) => secretsIn(line, secrets).length > 0)).toEqual([]);
      const inVm = await inGuest(200, "cat /proc/[0-9]*/cmdline | tr '\\0' ' '");
      expect(inVm).toContain("postgres");
      expect(secretsIn(inVm, secrets)).toEqual([]);
    },
    MINUTE,
  );

  test("nothing of the planted cluster came into the lab, and its address leads nowhere from there", async () => {
    const { endpoint, apiToken } = planted();
    const inside = readFileSync(lab().environmentFile, "utf8");
    for (const text of [endpoint, apiToken, new URL(endpoint).host]) {
      expect(inside).not.toContain(text);
      expect(JSON.stringify(process.env)).not.toContain(text);
    }
    const { hostname, port } = new URL(endpoint);
    await expect(
      new Promise((done, reject) => {
        connect(Number(port), hostname).once("connect", done).once("error", reject);
      }),
    ).rejects.toThrow("ECONNREFUSED");
  });

  test(
    "planted in a stack file it is refused",
    async () => {
      const { endpoint, apiToken } = planted();
      const dir = await copyOfProject({ "proxmoxve:endpoint": endpoint, "proxmoxve:apiToken": apiToken });
      const { code, output } = await pulumiAnyway(["preview", "-s", "drill"], dir);
      expect(code).not.toBe(0);
      expect(output).toContain("proxmoxve:endpoint: not accepted in stack configuration");
      expect(output).not.toContain(apiToken);
    },
    MINUTE,
  );

  test("the planted cluster has met nobody but the control", () => {
    expect(planted().connections).toBe(1);
  });
}
