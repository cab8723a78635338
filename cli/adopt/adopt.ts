/**
 * Takes what runs into a stack whose state is empty: because it was lost, or because no stack made it. Nothing that runs is
 * changed by that. The state is written from the plan of the program and from what is found, and every provider then reads its
 * resources back.
 *
 * `pulumi import` does not do here: the Docker provider reads no variables, labels, volumes and networks of a container back, so
 * that each imported container would be replaced by the next update.
 */
import { type CommandResult, runCommand } from "../command";
import { CliError } from "../errors";
import type { Progress } from "../progress";
import { explainStart, notStarted } from "../pulumi-errors";
import { problemIn } from "../drill/pulumi";
import { parseExport } from "../drill/stack-state";
import { labelOf, parsePreview, type PlannedResource, type PlannedStep, resourcesOf } from "./plan";
import type { Locate } from "./proxmox";
import { type ExportedStack, exportSchema, type Located, type ProviderPackage, stateResources } from "./state";

/** Runs `pulumi`, whatever its exit code. */
export type Pulumi = (args: readonly string[], options?: PulumiOptions) => Promise<CommandResult>;

export interface PulumiOptions {
  /** Text for stdin. */
  readonly input?: string;
  readonly onLine?: (line: string) => void;
  /** Puts something back, also when the command was interrupted. */
  readonly isCleanUp?: boolean;
}

export interface AdoptArgs {
  readonly stack: string;
  readonly pulumi: Pulumi;
  readonly packages: Readonly<Record<string, ProviderPackage>>;
  /** By resource type, made when the plan is known. Types of `homelab:` have none: such resources only prove and record. */
  readonly lookups: (plan: readonly PlannedResource[]) => Promise<Readonly<Record<string, Locate>>>;
  readonly progress: Progress;
}

/**
 * `pulumi` of the PATH in a project folder. A secret in its input is in no file and on no command line. An interrupt lets it come
 * to its end, so that it leaves no lock and nothing half recorded, and ends the command then.
 */
export function pulumiIn(projectDir: string, signal: AbortSignal): Pulumi {
  return async (args, { isCleanUp = false, ...options } = {}) => {
    if (!isCleanUp) signal.throwIfAborted();
    const result = await runCommand("pulumi", [...args, "--non-interactive", "--color=never"], {
      cwd: projectDir,
      ...options,
    }).catch((error: unknown) => {
      throw error instanceof CliError && error.cause !== undefined ? notStarted(error.cause, projectDir) : error;
    });
    if (!isCleanUp) signal.throwIfAborted();
    return result;
  };
}

/** Gives the exit code: 0 only when a preview shows no change in the end. */
export async function adopt(args: AdoptArgs): Promise<number> {
  const { stack, progress } = args;
  const empty = await emptyState(args);
  const plan = await progress.step(`planning what stack ${stack} declares`, async () =>
    resourcesOf(await preview(args)),
  );
  const located = await progress.step("looking for what is there", async () => locateAll(args, plan));
  if (located.size === 0) {
    throw new CliError(
      `Unable to adopt anything into stack ${stack}: nothing of what it declares exists. ` +
        `If that is right, pulumi up -s ${stack} makes it.`,
    );
  }
  for (const planned of plan.filter(({ urn }) => located.has(urn))) {
    progress.line(`  found    ${labelOf(planned)} (${located.get(planned.urn)?.id ?? ""})`);
  }
  for (const planned of missing(plan, located)) progress.line(`  missing  ${labelOf(planned)}`);

  await progress.step(`writing the state of stack ${stack}`, async ({ detail }) => {
    try {
      await importState(args, empty, stateResources({ plan, located, packages: args.packages }));
      await expectSuccess(args, ["refresh", "-s", stack, "--yes", "--skip-preview"], "read what is there into", {
        onLine: detail,
      });
    } catch (error) {
      await importState(args, empty, [], true);
      throw error;
    }
  });
  return finish(args, located);
}

/** The stack as it is exported, which must have no resources. */
async function emptyState(args: AdoptArgs): Promise<ExportedStack> {
  const output = await expectSuccess(args, ["stack", "export", "-s", args.stack], "read the state of");
  const exported = parseExport(exportSchema, output, args.stack);
  const count = exported.deployment.resources?.length ?? 0;
  if (count === 0) return exported;
  throw new CliError(
    `Unable to adopt into stack ${args.stack}: its state is not empty, it has ${count} resource${count === 1 ? "" : "s"}. ` +
      `pulumi preview -s ${args.stack} --refresh tells how it compares with what runs. To begin anew without it: ` +
      `pulumi stack rm ${args.stack} --force --preserve-config && pulumi stack init ${args.stack}`,
  );
}

async function preview(args: AdoptArgs): Promise<PlannedStep[]> {
  const command = ["preview", "-s", args.stack, "--json"];
  return parsePreview(await expectSuccess(args, command, "plan"));
}

async function locateAll(args: AdoptArgs, plan: readonly PlannedResource[]): Promise<Map<string, Located>> {
  const lookups = await args.lookups(plan);
  const located = new Map<string, Located>();
  for (const planned of plan.filter(isAdoptable)) {
    const locate = lookups[planned.type];
    if (locate === undefined) {
      throw new CliError(
        `Unable to adopt ${labelOf(planned)}: no one knows how to find a ${planned.type}. Add a lookup in cli/adopt/.`,
      );
    }
    const found = await locate(planned);
    if (found !== undefined) located.set(planned.urn, found);
  }
  return located;
}

/** Components and providers are only declared; resources of this project's provider prove and record, and are made anew. */
function isAdoptable({ custom, type }: PlannedResource): boolean {
  return custom && !type.startsWith("pulumi:providers:") && !type.startsWith("homelab:");
}

function missing(plan: readonly PlannedResource[], located: ReadonlyMap<string, Located>): PlannedResource[] {
  return plan.filter((planned) => isAdoptable(planned) && !located.has(planned.urn));
}

async function importState(
  args: AdoptArgs,
  empty: ExportedStack,
  resources: readonly unknown[],
  isCleanUp = false,
): Promise<void> {
  const deployment = { ...empty.deployment, resources: resources.length === 0 ? undefined : resources };
  const input = JSON.stringify({ ...empty, deployment });
  await expectSuccess(args, ["stack", "import", "-s", args.stack], "write the state of", { input, isCleanUp });
}

/** What is left to do when only proofs and records are missing is done; anything else is the operator's decision. */
async function finish(args: AdoptArgs, located: ReadonlyMap<string, Located>): Promise<number> {
  const { stack, progress } = args;
  const left = await progress.step("comparing with the program", async () => changesIn(await preview(args)));
  const serious = left.filter(({ op, urn }) => op !== "create" || !isRecord(urn));
  if (serious.length > 0) {
    progress.line("");
    progress.line(`${located.size} resources are adopted and nothing that runs was changed. Differences are left:`);
    for (const step of serious) progress.line(`  ${describe(step)}`);
    progress.line(
      `See them with pulumi preview -s ${stack} --diff. Correct the code until only what you want is left;`,
    );
    progress.line(`then pulumi up -s ${stack} does that.`);
    return 1;
  }
  await progress.step(`pulumi up -s ${stack}: proofs and records`, async ({ detail }) =>
    expectSuccess(args, ["up", "-s", stack, "--yes", "--skip-preview"], "make the proofs and records of", {
      onLine: detail,
    }),
  );
  await progress.step(`pulumi preview -s ${stack} --expect-no-changes`, async ({ detail }) =>
    expectSuccess(args, ["preview", "-s", stack, "--expect-no-changes"], "find no change in", { onLine: detail }),
  );
  progress.line(`${located.size} resources are adopted; a preview shows no changes.`);
  return 0;
}

function changesIn(steps: readonly PlannedStep[]): PlannedStep[] {
  return steps.filter(({ op, newState }) => op !== "same" && op !== "read" && newState?.custom !== false);
}

function isRecord(urn: string): boolean {
  return (urn.split("::")[2]?.split("$").at(-1) ?? "").startsWith("homelab:");
}

/** `replace Container miniflux (envs)`. What a change of inputs makes unknown among the outputs is left out. */
function describe({ op, urn, diffReasons, replaceReasons, newState }: PlannedStep): string {
  const inputs = newState?.inputs ?? {};
  const all = [...new Set([...(replaceReasons ?? []), ...(diffReasons ?? [])])];
  const reasons = all.filter((reason) => (reason.split(/[.[]/)[0] ?? "") in inputs);
  return `${op} ${labelOf({ urn })}${reasons.length === 0 ? "" : ` (${reasons.join(", ")})`}`;
}

/** Its stdout. The error has Pulumi's own words. */
async function expectSuccess(
  { pulumi, stack }: AdoptArgs,
  command: readonly string[],
  action: string,
  options: PulumiOptions = {},
): Promise<string> {
  const { code, stdout, stderr } = await pulumi(command, options);
  if (code === 0) return stdout;
  const output = `${diagnosticsOf(stdout)}\n${stderr}`;
  throw new CliError(
    explainStart(output, stack) ??
      `Unable to ${action} stack ${stack}: pulumi ${command.join(" ")} failed: ${problemIn({ code, output })}`,
  );
}

/** `preview --json` writes its errors into the JSON. */
function diagnosticsOf(stdout: string): string {
  try {
    const { diagnostics } = JSON.parse(stdout) as { diagnostics?: { severity: string; message: string }[] };
    if (diagnostics === undefined) return stdout;
    return diagnostics.map(({ severity, message }) => `${severity}: ${message}`).join("\n");
  } catch {
    return stdout; // not JSON: as it is
  }
}
