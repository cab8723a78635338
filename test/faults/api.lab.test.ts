/** Faults of the API itself in the middle of a drill, of its token, and drills that meet each other. */
import { cp } from "node:fs/promises";
import { join } from "node:path";
import { TOKEN } from "../lab/api-lab";
import { DRILL_VM, expectUndisturbed, FaultLab } from "./fault-lab";

jest.setTimeout(300_000);

const RESTORE = "POST /nodes/{node}/qemu";
const TASK_STATUS = "GET /nodes/{node}/tasks/{upid}/status";

let lab: FaultLab;
beforeAll(async () => {
  lab = await FaultLab.start();
});
beforeEach(() => lab.reset());
afterAll(async () => {
  lab.printCounts();
  await lab[Symbol.asyncDispose]();
});

test("api-596, api-resets, api-500 for a moment: the drill waits on", async () => {
  lab.faults.on("api-596", { on: TASK_STATUS, times: 2 });
  lab.faults.on("api-resets", { on: "GET /nodes/{node}/qemu/{vmid}/status/current", times: 2 });
  lab.faults.on("api-500", { on: "GET /nodes/{node}/qemu/{vmid}/agent/exec-status", times: 2 });
  expectUndisturbed(await lab.up());
  expect(lab.faults.list().map(({ name, met }) => [name, met])).toEqual([
    ["api-596", 2],
    ["api-resets", 2],
    ["api-500", 2],
  ]);
  await lab.expectCleanEnd();
});

test.each([
  ["api-403", "Unable to POST /nodes/pve/qemu: Permission check failed. Grant the token this privilege on this path."],
  ["api-500", "Unable to POST /nodes/pve/qemu: got no worker upid - start worker failed."],
  ["api-596", "Unable to POST /nodes/pve/qemu: Connection timed out. Check that the node is up"],
] as const)("%s in place of the restore: said in its words, asked once only, nothing made", async (fault, text) => {
  lab.faults.on(fault, { on: RESTORE });
  const { code, evidence, writes } = await lab.up();
  expect([code === 0, evidence?.verdict]).toEqual([false, "failed"]);
  expect(evidence?.reasons.join("\n")).toContain(text);
  expect(writes).toEqual(["POST /nodes/pve/qemu"]);
  await lab.expectCleanEnd();
});

test("api-answer-lost of the restore: not asked again, and destroy finds the VM that was made all the same", async () => {
  lab.faults.on("api-answer-lost", { on: RESTORE });
  const { code, evidence, writes } = await lab.up();
  expect([code === 0, evidence?.verdict, writes]).toEqual([false, "failed", ["POST /nodes/pve/qemu"]]);
  expect(lab.api.lab.guests.exists(DRILL_VM)).toBe(true);
  await lab.expectCleanEnd();
});

test.each([
  ["api-html", "answered 200 with something that is not JSON. Check that PROXMOX_VE_ENDPOINT names a Proxmox VE API"],
  ["api-401", "Authentication failed. Check PROXMOX_VE_API_TOKEN"],
] as const)(
  "%s in the middle of the restore: the wait ends at once, and destroy removes all later",
  async (fault, text) => {
    lab.faults.on(fault, { on: TASK_STATUS });
    const { code, evidence } = await lab.up();
    expect([code === 0, evidence?.verdict]).toEqual([false, "failed"]);
    expect(evidence?.reasons.join("\n")).toContain(text);
    lab.faults.allOff();
    await lab.expectCleanEnd();
  },
);

test("api-hangs from the restore on: the drill ends in its limits with what was last seen, not in minutes", async () => {
  await lab.reset([["restoreSeconds: 20", "restoreSeconds: 5"]]);
  lab.faults.on("api-hangs", { on: TASK_STATUS });
  const { code, evidence } = await lab.up();
  expect([code === 0, evidence?.verdict]).toEqual([false, "failed"]);
  expect(evidence?.reasons.join("\n")).toMatch(
    /had not ended after 5 s; last seen: Unable to GET \S+: \S+ did not answer in time/,
  );
  expect(evidence?.phases.find(({ phase }) => phase === "restore")?.seconds).toBeLessThan(15);
  lab.faults.allOff();
  await lab.expectCleanEnd();
});

test("a token rotated between up and destroy: the old one is refused and removes nothing, the new one removes all", async () => {
  const { apiTokens } = lab.api.lab.spec;
  const rotated = "root@pam!rotated=99999999-2222-3333-4444-555555555555";
  lab.faults.on("restore-fails-late"); // a husk has no mark but its task, which the old token started
  expect((await lab.up()).evidence?.verdict).toBe("failed");
  apiTokens.splice(0, apiTokens.length, rotated);
  try {
    const refused = await lab.destroy();
    expect([refused.code === 0, refused.writes]).toEqual([false, []]);
    expect(refused.errors.join("\n")).toContain("Authentication failed. Check PROXMOX_VE_API_TOKEN");
    expect(lab.api.lab.guests.exists(DRILL_VM)).toBe(true);
    await lab.expectCleanEnd({ PROXMOX_VE_API_TOKEN: rotated });
  } finally {
    apiTokens.splice(0, apiTokens.length, TOKEN);
  }
});

test("two drills at once: one goes its way, the other is refused by Proxmox, and its destroy leaves the first one's VM alone", async () => {
  const { project } = lab.workspace;
  await cp(join(project, "Pulumi.drill.yaml"), join(project, "Pulumi.second.yaml"));
  expect(await lab.workspace.pulumi(["stack", "init", "second"])).toMatchObject({ code: 0 });
  // Both have looked whether the VMID is free before either asks for it.
  lab.faults.on("api-slow", { on: RESTORE });
  const both = await lab.guarded(async () => ({
    ended: await Promise.all(["drill", "second"].map((stack) => lab.pulumi("up", stack))),
  }));
  const restored = both.ended.map(({ output }) => output.includes("the guest has no container engine"));
  expect([...restored].sort()).toEqual([false, true]);
  const [loser, winner] = restored[0] === true ? ["second", "drill"] : ["drill", "second"];
  expect(both.ended[restored[0] === true ? 1 : 0]?.output).toMatch(
    /unable to restore VM 9200 - VM 9200 already exists on node 'pve'|the VMID is taken by VM/,
  );
  const ended = await lab.guarded(async () => lab.pulumi("destroy", loser));
  expect([ended.code, ended.writes]).toEqual([0, []]);
  expect(lab.api.lab.guests.exists(DRILL_VM)).toBe(true);
  expect(await lab.guarded(async () => lab.pulumi("destroy", winner))).toMatchObject({ code: 0 });
  expect(await lab.remains()).toEqual([]);
});
