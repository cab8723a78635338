import { differences } from "./shapes";

it("tells missing names, other kinds and other requiredness apart, at any depth", () => {
  const npm = {
    same: "string",
    "gone?": "number",
    kind: { list: "string" },
    need: "any",
    "deep?": { object: { a: "string" } },
  } as const;
  const plugin = {
    same: "string",
    kind: "string",
    "need?": "any",
    "deep?": { object: { "a?": "number", b: "any" } },
  } as const;
  expect(differences("x", npm, plugin)).toEqual([
    "x.deep.a: required only in npm",
    "x.deep.a: string in npm, number in the plugin",
    "x.deep.b: only in the plugin",
    "x.gone: only in npm",
    "x.kind: list in npm, string in the plugin",
    "x.need: required only in npm",
  ]);
  expect(differences("x", npm, npm)).toEqual([]);
});
