/** What stands in a drill's stack, from its state. */
import { z } from "zod";
import { DRILL_TOKENS } from "../../provider/tokens";
import { CliError } from "../errors";
import { explainStart } from "../pulumi-errors";
import { problemIn, type RunPulumi } from "./pulumi";

const stateSchema = z.looseObject({
  deployment: z
    .looseObject({
      resources: z
        .array(
          z.looseObject({
            ...{ type: z.string(), outputs: z.unknown().optional() },
            ...{ urn: z.string().optional(), id: z.string().optional() },
          }),
        )
        .nullish(),
      pending_operations: z.array(z.unknown()).nullish(),
    })
    .nullish(),
});
const leaseOutputs = z.looseObject({ run: z.looseObject({ runId: z.string(), runDir: z.string() }) });

/** What the state of a drill's stack tells. */
export interface DrillState {
  /** The run that stands. */
  readonly run: { readonly runId: string; readonly runDir: string } | undefined;
  /** Whether the run's verdict stands too: it goes first in a destroy and comes last in an update. */
  readonly hasVerdict: boolean;
  /** Whether Pulumi was killed in the middle of a step. */
  readonly hasPending: boolean;
}

/** @throws CliError when the state can't be read */
export async function readDrillState(pulumi: RunPulumi, stack: string): Promise<DrillState> {
  const result = await pulumi(["stack", "export", "-s", stack]);
  if (result.code !== 0) {
    const cause = explainStart(result.output, stack);
    if (cause !== undefined) throw new CliError(cause);
    throw new CliError(
      `Unable to begin a drill: the state of stack ${stack} can't be read: ${problemIn(result)}. ` +
        `Make the stack with pulumi stack init ${stack}, or log in to the backend that has it.`,
    );
  }
  const { resources, hasPending } = stateIn(result.output, stack);
  const lease = resources.find(({ type }) => type === DRILL_TOKENS.lease);
  return {
    run: lease === undefined ? undefined : leaseOutputs.parse(lease.outputs).run,
    hasVerdict: resources.some(({ type }) => type === DRILL_TOKENS.verdict),
    hasPending,
  };
}

/** What `pulumi stack export` wrote. */
export interface ExportedState {
  readonly resources: readonly {
    readonly type: string;
    readonly outputs?: unknown;
    readonly urn?: string | undefined;
    /** The provider's; none for components. */
    readonly id?: string | undefined;
  }[];
  /** Whether Pulumi was killed in the middle of a step. */
  readonly hasPending: boolean;
}

/** @throws CliError when that can't be understood */
export function stateIn(output: string, stack: string): ExportedState {
  const { deployment } = parseExport(stateSchema, output, stack);
  return {
    resources: deployment?.resources ?? [],
    hasPending: (deployment?.pending_operations ?? []).length > 0,
  };
}

/** As `stateIn`, in the form that is asked for. */
export function parseExport<T>(schema: z.ZodType<T>, output: string, stack: string): T {
  try {
    return schema.parse(JSON.parse(jsonIn(output)));
  } catch (error) {
    throw new CliError(
      `Unable to read the state of stack ${stack}: pulumi stack export did not write it in the form of Pulumi 3.259. ` +
        `Look at pulumi stack export -s ${stack}, and use a Pulumi CLI of the version that this project names.`,
      { cause: error },
    );
  }
}

/** The document without warnings before and after it. */
function jsonIn(output: string): string {
  return output.slice(output.search(/^\{/m), output.lastIndexOf("}") + 1);
}
