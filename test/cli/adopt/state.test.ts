/** The state that is written for what was found. */
import { parsePreview, type PlannedResource, resourcesOf, UNKNOWN } from "../../../cli/adopt/plan";
import { type Located, stateResources } from "../../../cli/adopt/state";

const URN = "urn:pulumi:prod::homelab::";
const STACK = `${URN}pulumi:pulumi:Stack::homelab-prod`;
const COMPONENT = `${URN}homelab:components:Service::web`;
const DOCKER = `${URN}homelab:components:DockerEngine$pulumi:providers:docker::docker`;
const PROXMOX = `${URN}pulumi:providers:proxmoxve::default_8_6_0`;
const READINESS = `${URN}homelab:prod:Readiness::docker-readiness`;
const JOB = `${URN}homelab:components:BackupPlan$proxmoxve:backup/job:Job::backup-job`;
const CONTAINER = `${URN}homelab:components:Service$docker:index/container:Container::web`;

const PLAN: PlannedResource[] = [
  { urn: STACK, custom: false, type: "pulumi:pulumi:Stack" },
  { urn: COMPONENT, custom: false, type: "homelab:components:Service", parent: STACK },
  { urn: DOCKER, custom: true, type: "pulumi:providers:docker", inputs: { __internal: {}, host: "ssh://a@b" } },
  { urn: READINESS, custom: true, type: "homelab:prod:Readiness", inputs: {} },
  {
    urn: JOB,
    custom: true,
    type: "proxmoxve:backup/job:Job",
    inputs: { resourceId: "homelab" },
    provider: `${PROXMOX}::${UNKNOWN}`,
    protect: true,
  },
  {
    urn: CONTAINER,
    custom: true,
    type: "docker:index/container:Container",
    inputs: { name: "web", image: UNKNOWN, envs: "[secret]" },
    parent: COMPONENT,
    provider: `${DOCKER}::${UNKNOWN}`,
    dependencies: [READINESS, COMPONENT],
    propertyDependencies: { name: [], image: [READINESS], envs: null },
  },
];
const WEB: Located = {
  id: "c0ffee",
  inputs: {
    name: "web",
    image: "sha256:1",
    envs: ["KEY=planted-value"],
    ports: [{ __defaults: ["ip"], internal: 80 }],
  },
  secret: ["envs"],
};
const PACKAGES = { proxmoxve: { version: "8.6.0", server: "github://api.github.com/x/y" } };

function build(located: Record<string, Located>, packages: typeof PACKAGES | object = PACKAGES) {
  const args = { plan: PLAN, located: new Map(Object.entries(located)), packages: packages as typeof PACKAGES };
  return new Map(stateResources(args).map((resource) => [String(resource["urn"]), resource]));
}

test("stack first, then providers, then what was found; what was not found and what only proves is left to the update", () => {
  const resources = build({ [JOB]: { id: "homelab" }, [CONTAINER]: WEB });
  expect([...resources.keys()]).toEqual([STACK, PROXMOX, COMPONENT, DOCKER, JOB, CONTAINER]);
  expect([...build({ [CONTAINER]: WEB }).keys()]).toEqual([STACK, COMPONENT, DOCKER, CONTAINER]);
});

test("each refers to its provider by the id that the provider got, and the default provider is the engine's own", () => {
  const resources = build({ [JOB]: { id: "homelab" }, [CONTAINER]: WEB });
  expect(resources.get(JOB)).toMatchObject({
    id: "homelab",
    protect: true,
    inputs: { resourceId: "homelab" },
    provider: `${PROXMOX}::${String(resources.get(PROXMOX)?.["id"])}`,
  });
  expect(resources.get(PROXMOX)).toMatchObject({
    type: "pulumi:providers:proxmoxve",
    inputs: { __internal: { pluginDownloadURL: "github://api.github.com/x/y" }, version: "8.6.0" },
  });
  expect(resources.get(CONTAINER)?.["provider"]).toBe(`${DOCKER}::${String(resources.get(DOCKER)?.["id"])}`);
  expect(String(resources.get(DOCKER)?.["id"])).toMatch(/^[0-9a-f-]{36}$/);
});

test("dependencies on what is not in the state are left out", () => {
  const container = build({ [CONTAINER]: WEB }).get(CONTAINER);
  expect(container).toMatchObject({
    dependencies: [COMPONENT],
    propertyDependencies: { name: [], image: [], envs: [] },
  });
});

test("a secret stands nowhere in a form that the import would not encrypt", () => {
  const container = build({ [CONTAINER]: WEB }).get(CONTAINER);
  const sealed = {
    "4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270",
    plaintext: '["KEY=planted-value"]',
  };
  expect(container).toMatchObject({ inputs: { envs: sealed }, outputs: { envs: sealed } });
  const rest = JSON.stringify(container).replaceAll(JSON.stringify(sealed), "");
  expect(rest).not.toContain("planted-value");
});

test("outputs are without the notes of the bridge and tell the schema's version, or they would be migrated", () => {
  expect(build({ [CONTAINER]: WEB }).get(CONTAINER)?.["outputs"]).toMatchObject({
    __meta: '{"schema_version":"2"}',
    ports: [{ internal: 80 }],
  });
  expect(JSON.stringify(build({ [CONTAINER]: WEB }).get(CONTAINER)?.["outputs"])).not.toContain("__defaults");
});

test("a value that the plan does not know, and a provider of an unknown package, are refused", () => {
  expect(() => build({ [CONTAINER]: { id: "c0ffee" } })).toThrow(
    "Unable to adopt Container web: the preview does not tell its image. Look at pulumi preview --diff.",
  );
  expect(() => build({ [JOB]: { id: "homelab" } }, {})).toThrow(
    /Unable to adopt what pulumi:providers:proxmoxve has made/,
  );
});

test("a preview of another form is refused, and only what would be made is taken from one", () => {
  expect(() => parsePreview('{"steps":"none"}')).toThrow(/Unable to read what pulumi preview --json wrote/);
  const steps = ["create", "same"].map((op) => ({ op, urn: JOB, newState: PLAN[4] }));
  expect(resourcesOf(parsePreview(JSON.stringify({ steps })))).toEqual([PLAN[4]]);
});
