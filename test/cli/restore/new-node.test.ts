/** A new node: the storage of the archives is defined as production declares it, and what production's stack is told to forget. */
import { resolve } from "node:path";
import { z } from "zod";
import { readProdConfig } from "../../../cli/lab/stack-files";
import type { PulumiResult } from "../../../cli/drill/pulumi";
import { defineBackupStorage } from "../../../cli/restore/backup-storage";
import { readRestoreConfig } from "../../../cli/restore/config";
import { prepareLanding } from "../../../cli/restore/landing";
import type { PveClient } from "../../../pve/client";
import type { ProdConfig } from "../../../stacks/config";
import { ApiLab } from "../../lab/api-lab";
import { FakePve } from "../../provider/support/fake-pve";

const REPO_DIR = resolve(__dirname, "../../..");
const JOB = "urn:pulumi:prod::homelab::homelab:components:BackupPlan$proxmoxve:backup/job:Job::backup-job";

async function production(storage?: ProdConfig["backup"]["storage"]): Promise<ProdConfig> {
  const config = await readProdConfig(REPO_DIR, "prod");
  return storage === undefined ? config : { ...config, backup: { ...config.backup, storage } };
}

test("the missing storage is defined as production declares it, once", async () => {
  await using api = await ApiLab.start();
  const config = await readRestoreConfig(REPO_DIR, "restore");
  const args = { client: api.client(), config, readProduction: () => production() };
  expect(await defineBackupStorage(args)).toBe("storage nas (dir /mnt/pve/nas)");
  const defined = await api.client().get("/storage/nas", z.record(z.string(), z.unknown()));
  expect(defined).toMatchObject({ type: "dir", path: "/mnt/pve/nas", content: "backup", shared: 1 });
  const notAsked = (): Promise<ProdConfig> => Promise.reject(new Error("production's file is not needed"));
  expect(await defineBackupStorage({ ...args, readProduction: notAsked })).toBeUndefined();
});

test("a storage that is made by hand is asked for, and nothing is defined", async () => {
  await using api = await ApiLab.start();
  const config = await readRestoreConfig(REPO_DIR, "restore");
  const readProduction = (): Promise<ProdConfig> => production({ type: "existing" });
  await expect(defineBackupStorage({ client: api.client(), config, readProduction })).rejects.toThrow(
    "Unable to restore VM 200: storage nas, which holds its archives, is not defined on pve, and homelab:backup.storage of production is " +
      "of type existing. Define it on the node (pvesm add … nas --content backup).",
  );
});

/** What `prepareLanding` prints and has Pulumi do, where `stack export` ends like this. */
async function land(
  exported: PulumiResult,
  withJob: boolean,
  client?: PveClient,
): Promise<{ printed: string[]; commands: string[] }> {
  await using api = await ApiLab.start();
  if (withJob) {
    await api.ok("POST", "/storage", { storage: "nas", type: "dir", path: "/mnt/pve/nas", content: "backup" });
    await api.ok("POST", "/cluster/backup", { id: "homelab", schedule: "02:00", storage: "nas", vmid: "200" });
  }
  const [printed, commands]: [string[], string[]] = [[], []];
  await prepareLanding({
    client: client ?? api.client(),
    pulumi: async (args) => {
      commands.push(args.join(" "));
      return args[1] === "export" ? exported : { code: 0, output: "" };
    },
    production: "prod",
    print: (line) => printed.push(line),
  });
  return { printed, commands: commands.slice(1) };
}

const WITH_JOB = {
  code: 0,
  output: JSON.stringify({
    deployment: { resources: [{ type: "proxmoxve:backup/job:Job", urn: JOB, id: "homelab" }] },
  }),
};
const UNREADABLE =
  "Unable to read the state of stack prod: pulumi stack export did not write it in the form of Pulumi 3.259. " +
  "Look at pulumi stack export -s prod, and use a Pulumi CLI of the version that this project names.";
const REFRESH = "next     pulumi up -s prod --refresh brings what is newer than the backup";

test("a job that the cluster has is left in the state", async () => {
  expect(await land(WITH_JOB, true)).toEqual({ printed: [REFRESH], commands: [] });
});

test("a job that the cluster lacks is forgotten, because a refresh would fail at it", async () => {
  const forgotten =
    "Stack prod forgot backup job homelab, which the cluster does not have; its next update makes it again.";
  expect(await land(WITH_JOB, false)).toEqual({
    printed: [forgotten, REFRESH],
    commands: [`state delete ${JOB} -s prod --force --yes`],
  });
});

test.each([
  ["refuses the look", 403, "Permission check failed (/, Sys.Audit)"],
  ["loses its node", 596, "connection timed out"],
])("an API that %s ends no restore that has passed: it is told, and what is next", async (_what, status, text) => {
  const pve = new FakePve();
  pve.disturb = () => ({ status, text });
  const { printed, commands } = await land(WITH_JOB, true, pve.client());
  expect(printed).toEqual([
    expect.stringMatching(
      /^Unable to see whether the cluster has backup job homelab: Unable to GET \/cluster\/backup\/homelab: .*\. If it has none, the update fails at it: pulumi state delete 'urn:.*' -s prod --force$/,
    ) as string,
    REFRESH,
  ]);
  expect(commands).toEqual([]);
});

test.each(["warning: nothing else", '{ "deployment": [] }'])(
  "a state that can't be understood ends no restore that has passed: %s",
  async (output) => {
    expect(await land({ code: 0, output }, true)).toEqual({ printed: [UNREADABLE, REFRESH], commands: [] });
  },
);

test("nor does a state that can't be read", async () => {
  const output = "error: PULUMI_ACCESS_TOKEN must be set for login during non-interactive CLI sessions";
  expect(await land({ code: 3, output }, true)).toEqual({
    printed: [expect.stringMatching(/^Unable to use stack prod: Pulumi does not know where its state is: /), REFRESH],
    commands: [],
  });
});

test.each<[string, PulumiResult, string]>([
  [
    "lost",
    { code: 255, output: "error: no stack named 'prod' found" },
    "next     pulumi stack init prod, npm run homelab -- adopt, pulumi up -s prod: its state is lost",
  ],
  [
    "empty",
    { code: 0, output: JSON.stringify({ deployment: {} }) },
    "next     npm run homelab -- adopt, then pulumi up -s prod: its state is empty",
  ],
])("a state that is %s has to be adopted first", async (_what, exported, next) => {
  expect(await land(exported, false)).toEqual({ printed: [next], commands: [] });
});
