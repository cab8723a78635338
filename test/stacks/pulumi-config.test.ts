import * as pulumi from "@pulumi/pulumi";
import { readPulumiConfig } from "../../stacks/pulumi-config";

const saved = process.env.PULUMI_CONFIG_SECRET_KEYS;
afterEach(() => {
  if (saved === undefined) delete process.env.PULUMI_CONFIG_SECRET_KEYS;
  else process.env.PULUMI_CONFIG_SECRET_KEYS = saved;
});

test("secret values leave as secret outputs only", async () => {
  process.env.PULUMI_CONFIG_SECRET_KEYS = '["homelab:postgresPassword"]';
  pulumi.runtime.setAllConfig({ "homelab:kind": "prod", "homelab:postgresPassword": "hunter2" }, [
    "homelab:postgresPassword",
  ]);
  const { raw, encryptedKeys, secrets } = readPulumiConfig();
  expect(raw).toEqual({ "homelab:kind": "prod", "homelab:postgresPassword": "" });
  expect([...encryptedKeys]).toEqual(["postgresPassword"]);

  const { postgresPassword } = secrets(["postgresPassword"]);
  expect(await pulumi.isSecret(postgresPassword ?? pulumi.output(""))).toBe(true);
});
