import * as pulumi from "@pulumi/pulumi";
import type { DeployedContainer } from "../../provider/contract/production";
import type { ServiceSpec } from "../../services/spec";
import { publishedNow } from "../../stacks/published-ports";

const CONTAINER: DeployedContainer = {
  ...{ service: "web", containerId: "c1", image: "web:1", configuration: "sha256:1" },
  ...{ createdAt: "2026-11-21T08:00:00.000Z", ports: ["0.0.0.0:80->80/tcp"] },
};
const SILENT: ServiceSpec = { name: "db", purpose: "Data.", image: "db:1", data: "essential", smokeTests: [] };
const WEB: ServiceSpec = { ...SILENT, name: "web", ports: [{ hostPort: 80, containerPort: 80 }] };

const look = jest.fn<Promise<DeployedContainer[]>, []>();
let debug: jest.SpyInstance;
beforeEach(() => {
  debug = jest.spyOn(pulumi.log, "debug").mockResolvedValue(undefined);
  debug.mockClear();
  look.mockReset().mockResolvedValue([CONTAINER]);
});

test("are asked for by service", async () => {
  expect(await publishedNow({ ipv6: true, catalogue: [SILENT, WEB] }, look)).toEqual(
    new Map([["web", CONTAINER.ports]]),
  );
});

test.each([
  [false, [WEB]],
  [true, [SILENT]],
])("nobody asks without IPv6 or without a port (IPv6 %s)", async (ipv6, catalogue) => {
  expect(await publishedNow({ ipv6, catalogue }, look)).toEqual(new Map());
  expect(look).not.toHaveBeenCalled();
});

test("a VM that does not answer ends no preview, and --debug tells what follows", async () => {
  look.mockRejectedValue(new Error("Unable to connect to admin@10.0.0.2 by SSH: timed out."));
  expect(await publishedNow({ ipv6: true, catalogue: [WEB] }, look)).toEqual(new Map());
  expect(debug.mock.calls).toEqual([
    [
      "Unable to ask the Docker VM which ports are published: Unable to connect to admin@10.0.0.2 by SSH: timed out. " +
        "They may show as changed.",
    ],
  ]);
});
