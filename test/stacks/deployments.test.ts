import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import * as pulumi from "@pulumi/pulumi";
import type { DeployedContainer } from "../../provider/contract/production";
import { DeploymentLog, nextDeployments, readDeployments, type Deployment } from "../../stacks/deployments";

const FACTS = {
  ...{ containerId: "c1", image: "caddy:2", configuration: "sha256:1" },
  createdAt: "2026-11-21T08:00:00.000Z",
};
const CONTAINER: DeployedContainer = { service: "a", ...FACTS };
const BEFORE: Deployment = {
  ...{ ...FACTS, containerId: "c0", createdAt: "2026-01-01T00:00:00.000Z" },
  firstCreatedAt: "2025-01-01T00:00:00.000Z",
};

describe("what is recorded of the containers", () => {
  test("without a file, when Docker made the container", () => {
    expect(nextDeployments(undefined, [CONTAINER], ["a"])).toEqual({
      a: { ...FACTS, firstCreatedAt: CONTAINER.createdAt },
    });
  });

  test("of a service that is known, when its first container was made", () => {
    expect(nextDeployments({ a: BEFORE }, [CONTAINER], ["a"])).toEqual({
      a: { ...FACTS, firstCreatedAt: BEFORE.firstCreatedAt },
    });
  });

  test("of a service whose container is just being replaced, what is known of it", () => {
    expect(nextDeployments({ a: BEFORE }, [], ["a"])).toEqual({ a: BEFORE });
  });

  test("sorted; nothing of services that the catalogue does not have", () => {
    const [b, other] = [
      { ...CONTAINER, service: "b" },
      { ...CONTAINER, service: "other" },
    ];
    expect(Object.keys(nextDeployments({ gone: BEFORE }, [b, other, CONTAINER], ["b", "a"]))).toEqual(["a", "b"]);
  });
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

  let looks: number;
  let containers: DeployedContainer[];
  beforeEach(() => {
    looks = 0;
    containers = [{ ...CONTAINER, service: "b", containerId: "c2" }, CONTAINER];
  });

  /** An update of production in which these containers have these ids. */
  async function record(isPreview: boolean, ids: Record<string, string> = { a: "c1", b: "c2" }): Promise<void> {
    await pulumi.runtime.setMocks(
      { newResource: ({ name }) => ({ id: name, state: {} }), call: () => ({}) },
      "homelab",
      "prod",
      isPreview,
    );
    const look = async (): Promise<DeployedContainer[]> => {
      looks += 1;
      return containers;
    };
    await recordIn(new DeploymentLog(file, ["a", "b"], look), ids);
  }

  async function recordIn(log: DeploymentLog, ids: Record<string, string>): Promise<void> {
    const done = Object.entries(ids).map(([name, id]) => log.record(name, pulumi.output(id)));
    await new Promise((resolve) => pulumi.all(done).apply(resolve));
  }

  test("holds what the containers are, whatever the code says, and no temporary file stays", async () => {
    await record(false);
    expect(Object.keys(readDeployments(file) ?? {})).toEqual(["a", "b"]);
    expect(readDeployments(file)?.["a"]).toEqual({ ...FACTS, firstCreatedAt: CONTAINER.createdAt });
    expect(readdirSync(path.dirname(file))).toEqual(["deployments.json"]);
  });

  test("asks once for containers that come together, and not at all for those that it knows", async () => {
    await record(false);
    expect(looks).toBe(1);
    await record(false);
    expect(looks).toBe(1);
    containers = [{ ...CONTAINER, containerId: "c3", createdAt: "2026-11-22T08:00:00.000Z" }];
    await record(false, { a: "c3", b: "c2" });
    expect(looks).toBe(2);
    expect(readDeployments(file)).toMatchObject({
      a: { ...FACTS, containerId: "c3", createdAt: "2026-11-22T08:00:00.000Z", firstCreatedAt: CONTAINER.createdAt },
    });
  });

  test("a Docker VM that can't be asked is a warning, and the file stays as it was", async () => {
    const warn = jest.spyOn(pulumi.log, "warn").mockResolvedValue(undefined);
    try {
      await pulumi.runtime.setMocks({ newResource: ({ name }) => ({ id: name, state: {} }), call: () => ({}) });
      const log = new DeploymentLog(file, ["a"], async () => Promise.reject(new Error("no route.")));
      await recordIn(log, { a: "x" });
      expect(warn.mock.calls).toEqual([
        [
          `Unable to record in ${file} what was deployed: no route. Run pulumi up -s prod again; until then a drill of an ` +
            "older archive takes new containers for unexplained.",
        ],
      ]);
      expect(readDeployments(file)).toBeUndefined();
    } finally {
      warn.mockRestore();
    }
  });

  test("a preview asks and writes nothing", async () => {
    await record(true);
    expect(looks).toBe(0);
    expect(readDeployments(file)).toBeUndefined();
  });

  test("one that can't be used is written anew by an update", async () => {
    mkdirSync(path.dirname(file));
    writeFileSync(file, '{"formatVersion": 1, "services": {}}');
    await record(false);
    expect(readDeployments(file)?.["b"]).toMatchObject({ containerId: "c2" });
  });

  test("one that can't be used is refused", () => {
    const broken = path.join(folder, "broken.json");
    writeFileSync(broken, '{"formatVersion": 1}');
    expect(() => readDeployments(broken)).toThrow(/^Unable to use .*broken\.json: .*Restore it from version control/s);
  });
});
