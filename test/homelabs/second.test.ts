import { mkdtempSync, rmSync } from "node:fs";
import os from "node:os";
import { join } from "node:path";
import { labSpecFromStacks } from "../../cli/lab/spec-from-stacks";
import { readStackFiles } from "../../cli/lab/stack-files";
import { proofTarget } from "../../cli/rehearsal/proof-target";
import { SECOND_CATALOGUE } from "./second/catalogue";
import { writeProjectFolder } from "./project";

let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(os.tmpdir(), "second-homelab-"));
  writeProjectFolder(dir, join(__dirname, "second"), SECOND_CATALOGUE);
});
afterAll(() => {
  rmSync(dir, { recursive: true });
});

test("its files and its 25 services are accepted", async () => {
  const { stacks, catalogue } = await readStackFiles(dir);
  expect(Object.keys(stacks).sort()).toEqual(["drill", "prod"]);
  expect(catalogue).toHaveLength(25);
});

test("an IPv6 address is taken in its one spelling", async () => {
  const { prod } = await readStackFiles(dir);
  expect(prod.config.dockerVm.ipv6).toEqual({ address: "fd00:30::71/64", gateway: "fd00:30::1" });
});

test("the lab takes everything from them", async () => {
  const { stacks, catalogue } = await readStackFiles(dir);
  const spec = labSpecFromStacks(stacks, {
    ...{ id: "x", dir: "/lab", cloudImageFile: "/image", registry: { root: "/r", tags: {} } },
    ...{ apiTokens: ["t"], cloudflareToken: "c", scheduler: false },
  });
  expect(spec.node).toMatchObject({ name: "hv-02", address: "10.30.0.1" });
  expect(spec.bridges).toEqual([
    { name: "vmbr7", vlanId: 30, addresses: ["10.30.0.1/22", "fd00:30::1/64"] },
    { name: "vmbr700", addresses: [] },
  ]);
  expect(spec.storages.map(({ id, predefined }) => [id, predefined])).toEqual([
    ["fast_ssd.1", true],
    ["bulk-hdd", true],
    ["files.local", true],
    ["vault-2", false],
  ]);
  expect(proofTarget(catalogue, "lab-2.example.org")).toMatchObject({
    url: "https://feeds.internal.lab-2.example.org",
    container: "db-15",
  });
});
