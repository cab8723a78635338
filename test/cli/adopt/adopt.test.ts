/** The order of the steps, and what becomes of the state when one fails. The real `pulumi` is in adopt.lab.test.ts. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { adopt, type Pulumi } from "../../../cli/adopt/adopt";
import { UNKNOWN } from "../../../cli/adopt/plan";
import { Progress } from "../../../cli/progress";

const URN = "urn:pulumi:prod::homelab::";
const STACK = { urn: `${URN}pulumi:pulumi:Stack::homelab-prod`, custom: false, type: "pulumi:pulumi:Stack" };
const PROVIDER = `${URN}pulumi:providers:proxmoxve::default_8_6_0`;
const JOB = {
  urn: `${URN}homelab:components:BackupPlan$proxmoxve:backup/job:Job::backup-job`,
  custom: true,
  type: "proxmoxve:backup/job:Job",
  inputs: { resourceId: "homelab", schedule: "02:00" },
  provider: `${PROVIDER}::${UNKNOWN}`,
};
const READINESS = {
  urn: `${URN}homelab:prod:Readiness::docker-readiness`,
  custom: true,
  type: "homelab:prod:Readiness",
};

const EMPTY = { version: 3, deployment: { manifest: {}, metadata: {} } };
const planOf = (op: string) => ({
  steps: [
    { op: "create", urn: STACK.urn, newState: STACK },
    { op, urn: JOB.urn, newState: JOB, diffReasons: ["schedule", "computed"] },
    { op: "create", urn: READINESS.urn, newState: READINESS },
  ],
});

let dir: string;
let lines: string[];
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "homelab-adopt-"));
  lines = [];
});
afterEach(() => rmSync(dir, { recursive: true }));

interface Run {
  /** What the preview after the adoption plans for the job. */
  readonly then?: string;
  readonly failing?: string;
  readonly isThere?: boolean;
  readonly exported?: unknown;
}

/** Gives what was run, without arguments that are always the same, and the states that were written. */
async function run({ then = "same", failing, isThere = true, exported = EMPTY }: Run) {
  const ran: string[] = [];
  const written: { deployment: { resources?: { urn: string }[] } }[] = [];
  const pulumi: Pulumi = async (args, { input } = {}) => {
    const command = args.filter((arg) => !["-s", "prod", "--yes", "--skip-preview"].includes(arg)).join(" ");
    ran.push(command);
    if (input !== undefined) written.push(JSON.parse(input) as (typeof written)[number]);
    const stdout =
      command === "stack export"
        ? JSON.stringify(exported)
        : command === "preview --json"
          ? JSON.stringify(planOf(written.length === 0 ? "create" : then))
          : "";
    const isFailing = command === failing;
    return { code: isFailing ? 1 : 0, signal: null, stdout, stderr: isFailing ? "error: no such host" : "" };
  };
  using progress = new Progress(join(dir, "log"), {
    write: (text) => void lines.push(text),
    isTerminal: false,
    columns: () => 80,
  });
  const found = isThere ? { id: "homelab" } : undefined;
  const args = {
    stack: "prod",
    pulumi,
    packages: { proxmoxve: { version: "8.6.0" } },
    lookups: async () => ({ [JOB.type]: async () => found }),
    progress,
  };
  const outcome = await adopt(args).catch((error: unknown) => (error as Error).message);
  const states = written.map(({ deployment }) => deployment.resources?.map(({ urn }) => urn));
  return { outcome, ran, states };
}

const BEGINNING = ["stack export", "preview --json", "stack import", "refresh"];

test("when only proofs and records are missing they are made, and a preview must show no change", async () => {
  const { outcome, ran, states } = await run({});
  expect(outcome).toBe(0);
  expect(ran).toEqual([...BEGINNING, "preview --json", "up", "preview --expect-no-changes"]);
  expect(states).toEqual([[STACK.urn, PROVIDER, JOB.urn]]);
});

test.each(["update", "replace", "delete", "create"])("what shows as %s is left to the operator", async (op) => {
  const { outcome, ran } = await run({ then: op });
  expect(outcome).toBe(1);
  expect(ran).toEqual([...BEGINNING, "preview --json"]);
  expect(lines.join("")).toContain(`  ${op} Job backup-job (schedule)`);
});

test("when what is there can't be read back, the state is empty again", async () => {
  const { outcome, ran, states } = await run({ failing: "refresh" });
  expect(outcome).toMatch(/^Unable to read what is there into stack prod: pulumi refresh .* failed: no such host/);
  expect(ran).toEqual([...BEGINNING, "stack import"]);
  expect(states).toEqual([[STACK.urn, PROVIDER, JOB.urn], undefined]);
});

test("a state that can't be understood is told as such, and nothing is planned", async () => {
  expect(await run({ exported: { version: "3" } })).toMatchObject({
    outcome: expect.stringMatching(/^Unable to read the state of stack prod: pulumi stack export did not/) as string,
    ran: ["stack export"],
  });
});

test("a state that is not empty is refused before anything is written, and so is a stack of which nothing exists", async () => {
  const full = { ...EMPTY, deployment: { ...EMPTY.deployment, resources: [STACK] } };
  expect(await run({ exported: full })).toMatchObject({
    outcome: expect.stringContaining("its state is not empty, it has 1 resource.") as string,
    ran: ["stack export"],
  });
  expect(await run({ isThere: false })).toMatchObject({
    outcome: expect.stringContaining("nothing of what it declares exists") as string,
    states: [],
  });
});
