/** What is looked for, and what is refused because it is not what the code means. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { dnsLookups } from "../../../cli/adopt/dns";
import { withoutDocker } from "../../../cli/adopt/docker";
import type { Inputs, PlannedResource } from "../../../cli/adopt/plan";
import { proxmoxLookups } from "../../../cli/adopt/proxmox";
import { PveClient } from "../../../pve/client";

const VM = "proxmoxve:index/vmLegacy:VmLegacy";
const STORAGE = "proxmoxve:storage/directory:Directory";

/** A Proxmox that answers this list to every request. */
function clientThatAnswers(data: unknown): PveClient {
  const credentials = {
    endpoint: "https://pve.example.net:8006",
    token: "a@pve!b=11111111-2222-3333-4444-555555555555",
  };
  return new PveClient(
    () => credentials,
    async () => new Response(JSON.stringify({ data }), { headers: { "content-type": "application/json" } }),
  );
}

function planned(type: string, inputs: Inputs): PlannedResource {
  return { urn: `urn:pulumi:prod::homelab::homelab:components:X$${type}::thing`, custom: true, type, inputs };
}

async function locate(type: string, inputs: Inputs, answer: unknown) {
  return proxmoxLookups(clientThatAnswers(answer), [])[type]?.(planned(type, inputs));
}

test("every kind of thing that prod makes can be looked for, but those that only prove and record", () => {
  const golden = readFileSync(join(__dirname, "../../stacks/golden/prod.json"), "utf8");
  const types = z
    .array(z.object({ type: z.string() }))
    .parse(JSON.parse(golden))
    .map(({ type }) => type);
  const real = [...new Set(types)].filter((type) => !/^(?:homelab|pulumi):/.test(type));
  const known = { ...proxmoxLookups(clientThatAnswers([]), []), ...dnsLookups({}), ...withoutDocker() };
  expect(real.length).toBeGreaterThan(7);
  expect(real.filter((type) => !(type in known))).toEqual([]);
});

test("a VM is found on the node of the configuration only, and must be a VM", async () => {
  const inputs = { nodeName: "pve", vmId: 200 };
  expect(await locate(VM, inputs, [{ vmid: 200, node: "pve", type: "qemu" }])).toMatchObject({ id: "200" });
  expect(await locate(VM, inputs, [{ vmid: 201, node: "pve", type: "qemu" }])).toBeUndefined();
  await expect(locate(VM, inputs, [{ vmid: 200, node: "hv2", type: "qemu" }])).rejects.toThrow(
    "Unable to adopt VM 200: it is on node hv2, and the configuration says pve. Correct homelab:node.",
  );
  await expect(locate(VM, inputs, [{ vmid: 200, node: "pve", type: "lxc", name: "dns" }])).rejects.toThrow(
    /Unable to adopt VM 200: the guest of this id \(dns\) is a container of Proxmox/,
  );
});

test("a storage of another type is not the one that is meant", async () => {
  const inputs = { resourceId: "nas" };
  expect(await locate(STORAGE, inputs, [{ storage: "nas", type: "dir" }])).toEqual({ id: "nas" });
  expect(await locate(STORAGE, inputs, [{ storage: "other", type: "dir" }])).toBeUndefined();
  await expect(locate(STORAGE, inputs, [{ storage: "nas", type: "nfs" }])).rejects.toThrow(
    /Unable to adopt storage nas: it is of type nfs, and the configuration says dir\./,
  );
});
