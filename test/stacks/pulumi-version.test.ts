import { readFileSync } from "node:fs";
import path from "node:path";
import { parse } from "yaml";
import { PULUMI_VERSIONS, requirePulumi } from "../../stacks/pulumi-version";
import { PULUMI_VERSION } from "../../toolchain/versions";

test("program, project file and toolchain name the same version", () => {
  const project = parse(readFileSync(path.resolve(__dirname, "../../Pulumi.yaml"), "utf8")) as Record<string, unknown>;
  expect([PULUMI_VERSIONS, project["requiredPulumiVersion"]]).toEqual([`>=${PULUMI_VERSION}`, `>=${PULUMI_VERSION}`]);
});

test("a CLI that can't even answer is told to be too old", async () => {
  // What @pulumi/pulumi throws when the engine does not know the question.
  const cause =
    "The installed version of the CLI does not support the `RequirePulumiVersion` RPC. Please upgrade the Pulumi CLI.";
  await expect(requirePulumi("drill", () => Promise.reject(new Error(cause)))).rejects.toThrow(
    "Unable to run stack drill: The installed version of the CLI does not support the `RequirePulumiVersion` RPC. " +
      "Please upgrade the Pulumi CLI. Install a Pulumi CLI of version 3.259.0 or newer.",
  );
});
