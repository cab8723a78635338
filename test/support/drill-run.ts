/** Runs drills in the rehearsal lab and says what they left. */
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { cp, mkdtemp, readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parse, stringify } from "yaml";
import { z } from "zod";
import { readNewEvidence, listRuns } from "../../cli/rehearsal/evidence";
import { type Evidence, type JournalEvent, journalEventSchema } from "../../provider/contract/evidence";
import { client, type Ended, evidenceDir, lab, pulumi, pulumiAnyway, requests } from "./rehearsal-lab";
import { forbiddenCalls } from "./drill-calls";

export const DRILL_VM = 9200;
const PROD_VM = 200;

export interface DrillResult {
  readonly ended: Ended;
  readonly evidence: Evidence;
  readonly runDir: string;
  readonly seconds: number;
  /** Calls that the drill may not make. */
  readonly forbidden: readonly string[];
}

/**
 * One `pulumi up -s drill`, whatever its verdict. Fails when production is not as it was before. `cwd`: a project folder;
 * default: the lab's own.
 */
export async function drill(cwd?: string): Promise<DrillResult> {
  const production = await productionFingerprint();
  const runsBefore = await listRuns(evidenceDir());
  const requestsBefore = requests().length;
  const start = Date.now();
  const ended = await pulumiAnyway(["up", "-s", "drill", "--yes"], cwd);
  const seconds = (Date.now() - start) / 1000;
  const forbidden = forbiddenCalls(requests().slice(requestsBefore), DRILL_VM);
  expect(await productionFingerprint()).toEqual(production);
  try {
    const { evidence } = await readNewEvidence(evidenceDir(), runsBefore);
    return { ended, evidence, runDir: join(evidenceDir(), evidence.runId), seconds, forbidden };
  } catch (error) {
    throw new Error(`The drill left no evidence. Its output:\n${ended.output}`, { cause: error });
  }
}

/** `pulumi destroy -s drill`; returns the calls that it may not make. Fails when production is not as it was before. */
export async function destroyDrill(): Promise<string[]> {
  const production = await productionFingerprint();
  const before = requests().length;
  await pulumi(["destroy", "-s", "drill", "--yes"]);
  expect(await productionFingerprint()).toEqual(production);
  return forbiddenCalls(requests().slice(before), DRILL_VM);
}

/** What there is of the drill's VM anywhere: the guest itself, volumes, files. Empty after a destroy. */
export async function remainsOfDrill(): Promise<string[]> {
  const guests = await client.get("/cluster/resources", z.array(z.looseObject({ id: z.string() })), { type: "vm" });
  const volumes = await client.get(
    "/nodes/pve/storage/local-lvm/content",
    z.array(z.looseObject({ volid: z.string() })),
    {},
  );
  const files = readdirSync(lab().dir, { recursive: true, encoding: "utf8" });
  return [
    ...guests.map(({ id }) => id).filter((id) => id.endsWith(`/${DRILL_VM}`)),
    ...volumes.map(({ volid }) => volid).filter((volid) => volid.includes(`-${DRILL_VM}-`)),
    ...files.filter((file) => /(^|[/-])9200([/.-]|$)/.test(file) && !/tasks|project|state|drills|log/.test(file)),
  ];
}

/** What a drill must leave alone in production: configuration digest, boot id, backup jobs. */
async function productionFingerprint(): Promise<unknown> {
  const config = await client.get(`/nodes/pve/qemu/${PROD_VM}/config`, z.looseObject({ digest: z.string() }));
  const bootId = await client.get(
    `/nodes/pve/qemu/${PROD_VM}/agent/file-read`,
    z.looseObject({ content: z.string() }),
    { file: "/proc/sys/kernel/random/boot_id" },
  );
  const jobs = await client.get("/cluster/backup", z.array(z.record(z.string(), z.unknown())));
  const withoutNextRun = jobs.map((job) => ({ ...job, "next-run": undefined }));
  return { digest: config.digest, bootId: bootId.content.trim(), jobs: withoutNextRun };
}

/** The journal of a run, each line checked. */
export function journal(runDir: string): JournalEvent[] {
  const lines = readFileSync(join(runDir, "journal.ndjson"), "utf8").split("\n").filter(Boolean);
  return lines.map((line) => journalEventSchema.parse(JSON.parse(line)));
}

/** A copy of the lab's project folder whose drill stack has other values below `homelab:<key>`. */
export async function projectWith(
  changes: Readonly<Record<string, Readonly<Record<string, unknown>>>>,
): Promise<string> {
  return copyOfProject(Object.fromEntries(Object.entries(changes).map(([key, values]) => [`homelab:${key}`, values])));
}

/** A copy of the lab's project folder with other values in its drill's stack file; objects are merged into those there. */
export async function copyOfProject(
  changes: Readonly<Record<string, string | Readonly<Record<string, unknown>>>>,
): Promise<string> {
  const dir = await mkdtemp(join(lab().dir, "changed-"));
  const linked = [
    "stacks",
    "components",
    "services",
    "policy",
    "provider",
    "pve",
    "toolchain",
    "node_modules",
    "package.json",
    "tsconfig.json",
  ];
  for (const name of linked) {
    if (existsSync(join(lab().project, name))) await symlink(join(lab().project, name), join(dir, name));
  }
  await cp(join(lab().project, "Pulumi.yaml"), join(dir, "Pulumi.yaml"));
  const file = parse(await readFile(join(lab().project, "Pulumi.drill.yaml"), "utf8")) as {
    config: Record<string, string | Record<string, unknown>>;
  };
  for (const [key, value] of Object.entries(changes)) {
    const there = file.config[key];
    file.config[key] = typeof value === "object" && typeof there === "object" ? { ...there, ...value } : value;
  }
  await writeFile(join(dir, "Pulumi.drill.yaml"), stringify(file));
  return dir;
}
