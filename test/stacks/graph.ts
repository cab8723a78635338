/** Runs a stack program against mocks and records what it registers, with the options that matter. */
import * as pulumi from "@pulumi/pulumi";
import type { RegisterResourceRequest } from "@pulumi/pulumi/proto/resource_pb";
import { MockMonitor } from "@pulumi/pulumi/runtime/mocks";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";

/** One registered resource; absent fields were not set. */
export interface RecordedResource {
  readonly type: string;
  readonly name: string;
  readonly parent?: string;
  /** Secrets show as `[secret]`, unknown values as `[unknown]`. */
  readonly inputs: Record<string, unknown>;
  readonly protect?: boolean;
  /** Names of the resources that must be done first, sorted. */
  readonly after?: readonly string[];
  readonly provider?: string;
  readonly deleteBeforeReplace?: boolean;
  readonly ignoreChanges?: readonly string[];
  readonly secretOutputs?: readonly string[];
}

/** What a mocked type answers; types that are not listed fail the test. */
export type Mocks = Readonly<
  Record<string, (name: string, inputs: Record<string, unknown>) => { id: string; outputs?: Record<string, unknown> }>
>;

const SIGNATURE = "4dabf18193072939515e22adb298388d";
const SECRET = "1b47061264138c4ac30d75fd1eb44270";

/** Runs the program to its end and returns all custom and component resources, sorted by type and name. */
export async function recordGraph(
  program: () => Promise<Record<string, unknown>> | Record<string, unknown>,
  options: {
    readonly stack: string;
    readonly mocks: Mocks;
    readonly calls?: Readonly<Record<string, (args: Record<string, unknown>) => Record<string, unknown>>>;
  },
): Promise<RecordedResource[]> {
  const requests: RegisterResourceRequest[] = [];
  // The mocks' own hook does not see options such as protect and dependsOn.
  const register = jest.spyOn(MockMonitor.prototype, "registerResource");
  await pulumi.runtime.setMocks(
    {
      newResource: ({ type, name, inputs, custom }) => {
        const plain = reveal(inputs) as Record<string, unknown>;
        if (custom !== true || type === "pulumi:pulumi:Stack") return { id: "", state: plain };
        const mock = options.mocks[type];
        if (!mock) throw new Error(`No mock for ${type}.`);
        const { id, outputs } = mock(name, plain);
        return { id, state: { ...plain, ...outputs } };
      },
      call: ({ token, inputs }) => {
        const call = options.calls?.[token];
        if (!call) throw new Error(`No mock for the call ${token}.`);
        return call(inputs as Record<string, unknown>);
      },
    },
    "homelab",
    options.stack,
    false,
  );
  try {
    await pulumi.runtime.runInPulumiStack(async () => program());
    await pulumi.runtime.disconnect();
    requests.push(...register.mock.calls.map(([request]) => request as RegisterResourceRequest));
  } finally {
    register.mockRestore();
  }
  return requests
    .filter((request) => request.getType() !== "pulumi:pulumi:Stack")
    .map(record)
    .sort((a, b) => (`${a.type} ${a.name}` < `${b.type} ${b.name}` ? -1 : 1));
}

/** The one resource of this type and name. */
export function find(graph: readonly RecordedResource[], type: string, name: string): RecordedResource {
  const found = graph.filter((resource) => resource.type === type && resource.name === name);
  const [resource] = found;
  if (!resource || found.length > 1) throw new Error(`${found.length} resources ${type} ${name}.`);
  return resource;
}

/** Compares with a committed file; `UPDATE_GOLDENS=1` writes it instead. */
export function expectGolden(file: string, value: unknown): void {
  const golden = path.join(__dirname, "golden", file);
  const text = `${JSON.stringify(value, undefined, 2)}\n`;
  if (process.env.UPDATE_GOLDENS === "1") writeFileSync(golden, text);
  const expected = existsSync(golden) ? readFileSync(golden, "utf8") : "";
  expect(JSON.parse(text)).toEqual(JSON.parse(expected || "null"));
}

function record(request: RegisterResourceRequest): RecordedResource {
  const after = [...new Set(request.getDependenciesList().map(nameOf))].sort();
  const ignoreChanges = request.getIgnorechangesList();
  const secretOutputs = request.getAdditionalsecretoutputsList();
  return {
    type: request.getType(),
    name: request.getName(),
    ...(isStack(request.getParent()) ? {} : { parent: nameOf(request.getParent()) }),
    inputs: mask(request.getObject()?.toJavaScript() ?? {}) as Record<string, unknown>,
    ...(request.getProtect() === true ? { protect: true } : {}),
    ...(after.length > 0 ? { after } : {}),
    ...(request.getProvider() === "" ? {} : { provider: request.getProvider().replace(/^.*::([^:]+)::[^:]*$/, "$1") }),
    ...(request.getDeletebeforereplace() ? { deleteBeforeReplace: true } : {}),
    ...(ignoreChanges.length > 0 ? { ignoreChanges } : {}),
    ...(secretOutputs.length > 0 ? { secretOutputs } : {}),
  };
}

function nameOf(urn: string): string {
  return urn.replace(/^.*::/, "");
}

function isStack(urn: string): boolean {
  return urn === "" || urn.includes("::pulumi:pulumi:Stack::");
}

/** Sorts keys and hides secrets. */
function mask(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(mask);
  if (typeof value !== "object" || value === null) return value === UNKNOWN ? "[unknown]" : value;
  if ((value as Record<string, unknown>)[SIGNATURE] === SECRET) return "[secret]";
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, field]) => [key, mask(field)]),
  );
}

const UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9";

/** What a provider sees. */
function reveal(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(reveal);
  if (typeof value !== "object" || value === null) return value;
  const fields = value as Record<string, unknown>;
  if (fields[SIGNATURE] === SECRET) return reveal(fields.value);
  return Object.fromEntries(Object.entries(fields).map(([key, field]) => [key, reveal(field)]));
}
