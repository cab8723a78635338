import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import * as pulumi from "@pulumi/pulumi";
import { DeploymentLog, nextDeployment, readDeployments, type Deployment } from "../../stacks/deployments";

const NOW = new Date("2026-11-21T08:00:00.000Z");
const CURRENT = { image: "caddy:2", configuration: "sha256:1", containerId: "c1" };
const BEFORE: Deployment = { ...CURRENT, deployedAt: "2026-01-01T00:00:00Z", firstDeployedAt: "2025-01-01T00:00:00Z" };

describe("what is recorded of a service", () => {
  test("without a file nothing tells when the container was made", () => {
    expect(nextDeployment(undefined, "proxy", NOW, CURRENT)).toEqual({
      ...CURRENT,
      deployedAt: null,
      firstDeployedAt: null,
    });
  });

  test("a service that is new in the file was deployed now for the first time", () => {
    const at = NOW.toISOString();
    expect(nextDeployment({}, "proxy", NOW, CURRENT)).toEqual({ ...CURRENT, deployedAt: at, firstDeployedAt: at });
  });

  test("an unchanged container keeps its time", () => {
    expect(nextDeployment({ proxy: BEFORE }, "proxy", NOW, CURRENT)).toEqual(BEFORE);
  });

  test.each([{ image: "caddy:3" }, { configuration: "sha256:2" }, { containerId: "c2" }])(
    "%j is a deploy",
    (change) => {
      const next = nextDeployment({ proxy: BEFORE }, "proxy", NOW, { ...CURRENT, ...change });
      expect(next).toEqual({ ...BEFORE, ...change, deployedAt: NOW.toISOString() });
    },
  );
});

describe("the file", () => {
  let folder: string;
  let file: string;
  beforeEach(() => {
    folder = mkdtempSync(path.join(os.tmpdir(), "deployments-"));
    file = path.join(folder, "trust", "deployments.json");
  });
  afterEach(() => {
    rmSync(folder, { recursive: true });
  });

  async function record(isPreview: boolean): Promise<void> {
    await pulumi.runtime.setMocks(
      { newResource: ({ name }) => ({ id: name, state: {} }), call: () => ({}) },
      "homelab",
      "prod",
      isPreview,
    );
    await pulumi.runtime.runInPulumiStack(async () => {
      const log = new DeploymentLog(file, ["a", "b"]);
      log.record("b", "caddy:2", "sha256:1", pulumi.output("c1"));
      log.record("a", "caddy:2", "sha256:1", pulumi.output("c2"));
      return {};
    });
  }

  test("holds each service of the catalogue and no other, and no temporary file stays", async () => {
    await record(false);
    expect(Object.keys(readDeployments(file) ?? {})).toEqual(["a", "b"]);
    expect(readDeployments(file)?.["a"]).toMatchObject({ containerId: "c2", deployedAt: null });
    expect(readdirSync(path.dirname(file))).toEqual(["deployments.json"]);
  });

  test("a preview writes nothing", async () => {
    await record(true);
    expect(readDeployments(file)).toBeUndefined();
  });

  test("one that can't be used is refused", () => {
    const broken = path.join(folder, "broken.json");
    writeFileSync(broken, '{"formatVersion": 1}');
    expect(() => readDeployments(broken)).toThrow(/^Unable to use .*broken\.json: .*Restore it from version control/s);
  });
});
