import { changedInputs, checkInputs, toBody, toInputs, toOutputs } from "../../toolchain/cloudflare/record";
import { asSecret, unwrap, unwrapProperties } from "../../toolchain/cloudflare/wire";

const UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9";
const zoneId = "0123456789abcdef0123456789abcdef";
const inputs = { zoneId, name: "rss.example.net", type: "A", content: "192.168.20.200", ttl: 1 };
const record = {
  id: "r1",
  name: "rss.example.net",
  type: "A",
  content: "192.168.20.200",
  ttl: 1,
  proxied: false,
  proxiable: true,
  comment: null,
  settings: { ipv4_only: false },
  tags: [],
  meta: { origin_worker_id: "x" },
  created_on: "2026-01-01T00:00:00Z",
  modified_on: "2026-01-02T00:00:00Z",
};

describe("a DNS record's inputs", () => {
  it("are all checked at once, by property", () => {
    const failures = checkInputs(
      unwrapProperties({ ...inputs, ttl: 7, name: 5, colour: "red", settings: { ipv5: true } }),
    );
    expect(failures.map((failure) => failure.property).sort()).toEqual(["colour", "name", "settings.ipv5", "ttl"]);
  });

  it("may be secret or not known yet, and must be there", () => {
    const wire = { ...inputs, name: undefined, content: asSecret("192.168.20.200"), zoneId: UNKNOWN };
    expect(checkInputs(unwrapProperties(wire)).map((failure) => failure.property)).toEqual(["name"]);
  });

  it("become a request body in the API's spelling, without the zone", () => {
    const body = toBody({ ...inputs, settings: { ipv4Only: true }, includeShadowMetadata: true });
    expect(body).toEqual({
      ...{ name: "rss.example.net", type: "A", content: "192.168.20.200", ttl: 1 },
      ...{ proxied: false, settings: { ipv4_only: true } },
    });
  });
});

describe("a DNS record's state", () => {
  const state = toOutputs(record, zoneId, inputs);

  it("has the outputs of the npm package", () => {
    expect(state).toEqual({
      ...inputs,
      ...{ proxied: false, proxiable: true, settings: { ipv4Only: false }, tags: [], includeShadowMetadata: false },
      ...{ meta: '{"origin_worker_id":"x"}', createdOn: record.created_on, modifiedOn: record.modified_on },
    });
  });

  it.each([
    ["nothing", {}, []],
    ["the content", { content: "192.168.20.201" }, ["content"]],
    ["the zone", { zoneId: "f".repeat(32) }, ["zoneId"]],
    ["a value that is not known yet", { content: UNKNOWN }, ["content"]],
    ["a secret of the same value", { content: asSecret("192.168.20.200") }, []],
    ["proxied switched on", { proxied: true }, ["proxied"]],
    ["a setting as it is", { settings: { ipv4Only: false } }, []],
    ["a shorter name", { name: "rss" }, ["name"]],
  ])("differs from inputs with %s", (_what, change, changed) => {
    expect(changedInputs(state, unwrapProperties({ ...inputs, ...change }))).toEqual(changed);
  });

  it("differs when an input was taken away that was set", () => {
    const full = toOutputs({ ...record, comment: "x", proxied: true, tags: ["a"], priority: 5 }, zoneId, inputs);
    expect(changedInputs(full, unwrapProperties(inputs))).toEqual(["comment", "priority", "proxied", "tags"]);
  });

  it("keeps the program's spelling where it means the same, and shows drift", () => {
    const relative = toOutputs({ ...record, type: "CNAME", content: "docker.example.net" }, zoneId, {
      ...inputs,
      ...{ name: "rss", type: "CNAME", content: "Docker.example.net." },
    });
    expect(relative).toMatchObject({ name: "rss", content: "Docker.example.net." });
    expect(toOutputs({ ...record, content: "10.0.0.1" }, zoneId, inputs)).toMatchObject({ content: "10.0.0.1" });
  });

  it("gives the inputs of an import, without what is empty", () => {
    expect(toInputs(state)).toEqual({ ...inputs, proxied: false, settings: { ipv4Only: false } });
  });
});

it("unwraps secrets, outputs and unknown values at any depth", () => {
  const output = { "4dabf18193072939515e22adb298388d": "d0e6a833031e9bbcd3f4e8bde6ca49a4", secret: true };
  expect(unwrap({ a: [asSecret("x")], b: null })).toEqual({ value: { a: ["x"] }, secret: true, unknown: false });
  expect(unwrap({ ...output, value: 1 })).toEqual({ value: 1, secret: true, unknown: false });
  expect(unwrap(output)).toEqual({ value: undefined, secret: true, unknown: true });
});
