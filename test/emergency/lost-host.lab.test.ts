/**
 * The host is lost with everything on it, the state too: an empty node of another name, the NAS, and what the operator has rebuild
 * everything. `npm run test:long`, after the emergency, whose archives these are.
 */
import { z } from "zod";
import { nodeCommand } from "../../cli/lab/node-command";
import { listRuns, readNewEvidence } from "../../cli/rehearsal/evidence";
import { backupNow, client, evidenceDir, inGuest, lab, pulumi, requests, run } from "../support/rehearsal-lab";
import { archivesOn, OTHER_NODE } from "./outside";

const MINUTE = 60_000;
const VM = 200;
const CONTAINERS = "docker ps -q --no-trunc | sort";

const records = z.array(z.record(z.string(), z.unknown()));

test("there is nothing but the archives", async () => {
  expect(await client.get("/cluster/resources", records, { type: "vm" })).toEqual([]);
  expect(await client.get("/cluster/backup", records)).toEqual([]);
  expect((await client.get("/storage", records)).map(({ storage }) => storage)).not.toContain("nas");
  expect(archivesOn(lab().dir).length).toBeGreaterThan(1);
});

test(
  "the restore defines the storage, brings the newest archive back on the other node, and proves it",
  async () => {
    const runsBefore = await listRuns(evidenceDir());
    const ended = await run(nodeCommand("cli/main.ts", ["restore"]));
    if (ended.code !== 0) throw new Error(ended.output);
    expect(ended.output).toContain("Defined storage nas (dir /mnt/pve/nas), as production declares it.");
    expect(ended.output).toContain("next     npm run homelab -- adopt, then pulumi up -s prod: its state is empty");
    const { evidence } = await readNewEvidence(evidenceDir(), runsBefore);
    expect(evidence).toMatchObject({ kind: "emergency", verdict: "passed", target: { vmId: VM, node: OTHER_NODE } });
    expect(evidence.source.archive).toBe(`nas:backup/${archivesOn(lab().dir).at(-1) ?? ""}`);
    await inGuest(VM, "test -s /var/lib/docker/volumes/emergency-proof/stamp", { node: OTHER_NODE });
  },
  20 * MINUTE,
);

test(
  "production takes it over: no container is replaced, what the node lacked is made, and then there is nothing to change",
  async () => {
    const containers = await inGuest(VM, CONTAINERS, { node: OTHER_NODE });
    const adopted = await run(nodeCommand("cli/main.ts", ["adopt", "-s", "prod"]));
    expect(adopted.output).toContain("found    VmLegacy docker-vm");
    expect(adopted.output).toContain("missing  Job backup-job");
    const before = requests().length;
    await pulumi(["up", "-s", "prod", "--yes"]);
    const writes = requests()
      .slice(before)
      .filter(({ method, path }) => method !== "GET" && !path.includes("/agent/"))
      .map(({ method, path }) => `${method} ${path.replace(/\/$/, "")}`);
    expect(writes).toContain("POST /cluster/backup");
    expect(writes.filter((call) => /\/qemu(?:\/|$)/.test(call))).toEqual([]);
    expect(await inGuest(VM, CONTAINERS, { node: OTHER_NODE })).toBe(containers);
    await pulumi(["preview", "-s", "prod", "--refresh", "--expect-no-changes"]);
    const archives = archivesOn(lab().dir);
    expect(await backupNow()).not.toContain(archives.at(-1) ?? "");
    expect(archivesOn(lab().dir)).toHaveLength(archives.length + 1);
  },
  20 * MINUTE,
);
