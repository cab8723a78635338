import { specialSecretSig, specialSigKey, unknownValue } from "@pulumi/pulumi/runtime";
import { z } from "zod";
import type { ResourceDefinition } from "../../provider/definition";
import { HalfMade } from "../../provider/definition";
import { lifecycleOf } from "../../provider/lifecycle";
import { schemaText } from "../../provider/schema";
import { DRILL_TOKENS, PROD_TOKENS } from "../../provider/tokens";
import { PveClient } from "../../pve/client";

const secret = (value: unknown): object => ({ [specialSigKey]: specialSecretSig, value });
const output = (more: object): object => ({ [specialSigKey]: "d0e6a833031e9bbcd3f4e8bde6ca49a4", ...more });

interface Inputs {
  name: string;
  size: number;
  parts?: { key: string }[] | undefined;
}
interface Outputs extends Inputs {
  length: number;
}

const schema = z.strictObject({
  name: z.string().min(2),
  size: z.number().positive(),
  parts: z.array(z.strictObject({ key: z.string() })).optional(),
});

const definition: ResourceDefinition<Inputs, Outputs> = {
  token: "homelab:test:Thing",
  description: "A thing.",
  inputs: schema,
  computed: { length: "number" },
  replaceOn: ["name"],
  deleteBeforeReplace: true,
  create: async (_context, inputs) => ({ id: inputs.name, outputs: { ...inputs, length: inputs.name.length } }),
};
const context = {
  client: new PveClient(),
  signal: new AbortController().signal,
  report: () => undefined,
  containerWindowMs: 0,
};
const thing = lifecycleOf(definition);

test("check reports every problem at once, by property, with the bad value", async () => {
  const { failures } = await thing.check(context, {}, { name: "x", size: -1, parts: [{ key: 1 }], extra: 1 });
  expect(failures?.map(({ property }) => property).sort()).toEqual(["", "name", "parts[0].key", "size"]);
  expect(failures?.find(({ property }) => property === "size")?.reason).toContain("-1");
});

test("unknown values are no problem yet, in any of Pulumi's forms", async () => {
  for (const unknown of [unknownValue, output({}), secret(unknownValue)]) {
    const news = { name: unknown, size: -1, parts: [{ key: unknown }] };
    const result = await thing.check(context, {}, news);
    expect(result.failures?.map(({ property }) => property)).toEqual(["size"]);
    expect(result.inputs).toBe(news);
  }
});

test("secrets are read like plain values, and stay secret in the outputs, computed ones included", async () => {
  const created = await thing.create(context, { name: secret("thing"), size: output({ value: 1, secret: false }) });
  expect(created.outs).toEqual({ name: secret("thing"), size: 1, length: secret(5) });
  const plain = await thing.create(context, { name: "thing", size: 1, __defaults: [], parts: null });
  expect(plain.outs).toEqual({ name: "thing", size: 1, length: 5 });
});

test("a resource that writes evidence refuses secrets", async () => {
  const { failures } = await lifecycleOf({ ...definition, refusesSecrets: true }).check(
    context,
    {},
    { name: "thing", size: 1, parts: [{ key: secret("x") }] },
  );
  expect(failures).toEqual([{ property: "parts", reason: expect.stringContaining("is secret") as string }]);
});

test("diff compares inputs only; an unknown value counts as a change", async () => {
  const state = { name: "thing", size: 1, length: 5 };
  expect(await thing.diff(state, { name: "thing", size: 1 })).toEqual({
    ...{ changes: false, replaces: [], deleteBeforeReplace: false },
  });
  expect(await thing.diff(state, { name: "thing", size: secret(2) })).toMatchObject({ changes: true, replaces: [] });
  expect(await thing.diff(state, { name: unknownValue, size: 1 })).toEqual({
    ...{ changes: true, replaces: ["name"], deleteBeforeReplace: true },
  });
  expect(await thing.diff({ ...state, name: secret("thing") }, { name: "thing", size: 1 })).toMatchObject({
    changes: false,
  });
});

test("what was half made is handed to the engine with id and properties, secrets still secret", async () => {
  const failing = lifecycleOf({
    ...definition,
    create: async (_context, inputs: Inputs) => {
      throw new HalfMade("Unable to finish.", "id-1", { ...inputs, length: 0 });
    },
  });
  await expect(failing.create(context, { name: secret("thing"), size: 1 })).rejects.toMatchObject({
    ...{ message: "Unable to finish.", id: "id-1", reasons: ["Unable to finish."] },
    properties: { name: secret("thing"), size: 1, length: secret(0) },
  });
});

test("a record of a run can't be updated or imported", async () => {
  await expect(
    thing.update(context, "x", { name: "thing", size: 1, length: 5 }, { name: "thing", size: 2 }),
  ).rejects.toThrow("Unable to update homelab:test:Thing x");
  await expect(thing.read(context, "x", {})).rejects.toThrow("Unable to import homelab:test:Thing x");
});

test("the schema lists every token", () => {
  const parsed = JSON.parse(schemaText()) as {
    resources: Record<string, { inputProperties: object; required: string[] }>;
  };
  expect(Object.keys(parsed.resources).sort()).toEqual(
    [...Object.values(DRILL_TOKENS), ...Object.values(PROD_TOKENS)].sort(),
  );
  expect(parsed.resources[DRILL_TOKENS.guestBoot]?.required).toContain("bootId");
  expect(parsed.resources[DRILL_TOKENS.guestBoot]?.inputProperties).toMatchObject({
    ...{
      run: { $ref: "pulumi.json#/Any" },
      restoreStatus: { type: "string" },
      startTimeoutSeconds: { type: "number" },
    },
  });
});

test("delete gets what was recorded, also by a version with other inputs", async () => {
  const deleted: unknown[] = [];
  const deleting = lifecycleOf({
    ...definition,
    delete: async (_context, recorded) => {
      deleted.push(recorded);
    },
  });
  await deleting.delete(context, { name: "thing", colour: secret("red"), length: 5 });
  expect(deleted).toEqual([{ name: "thing", colour: "red", length: 5 }]);
});
