/**
 * The bare `pulumi up` of drill and restore, killed with everything that it has started: what to type then. The homelab is that
 * of `crash-lab.ts`.
 */
import { truncateSync } from "node:fs";
import { lookAfterKill, problemsOf } from "./convergence";
import { CrashLab, type Ended, type Stack } from "./crash-lab";
import { DRILL_VM, PROD_VM } from "./homelab-state";
import type { KillPoint } from "./kill-points";

jest.setTimeout(5 * 60_000);

let lab: CrashLab;
beforeAll(async () => {
  lab = await CrashLab.start();
});
afterAll(async () => lab[Symbol.asyncDispose]());

const OPTIONS: Readonly<Partial<Record<string, readonly string[]>>> = {
  cancel: [],
  refresh: ["--skip-preview", "--clear-pending-creates"],
};

const pulumi = (stack: Stack, command: string, target?: KillPoint): Promise<Ended> => {
  const options = ["--yes", ...(OPTIONS[command] ?? ["--skip-preview"]), "--non-interactive", "--color=never"];
  return lab.run(stack, ["pulumi", command, "-s", stack, ...options], target);
};

/** Killed while Proxmox restores over the empty VM that it has made first: the task goes on, and half of a VM is there. */
async function killUpOf(stack: Stack): Promise<void> {
  const moment = { what: "POST /nodes/pve/qemu", nth: 2, when: "after", delayMs: 0 } as const;
  const killed = await pulumi(stack, "up", { phase: `${stack} up`, ...moment });
  expect([killed.wasKilled, killed.code]).toEqual([true, null]);
  expect(lab.lab.guests.read(stack === "drill" ? DRILL_VM : PROD_VM).current).toMatchObject({ lock: "create" });
}

describe.each(["drill", "restore"] as const)("pulumi up -s %s that was killed", (stack) => {
  beforeEach(() => lab.reset(stack));

  test("is followed by pulumi cancel and destroy, and by a refresh that clears the step in which it was killed", async () => {
    const before = await lab.untouchable(stack);
    await killUpOf(stack);
    const afterKill = await lookAfterKill(lab);

    const locked = await pulumi(stack, "up");
    expect(locked.code).not.toBe(0);
    expect(locked.output).toContain("the stack is currently locked by 1 lock(s)");
    expect(locked.output).toContain("pulumi cancel");
    expect((await pulumi(stack, "cancel")).code).toBe(0);

    const standing = await pulumi(stack, "up");
    expect(standing.code).not.toBe(0);
    expect(standing.output).toContain(`Run "pulumi destroy -s ${stack}" first`);
    expect(await pulumi(stack, "destroy")).toMatchObject({ code: 0 });
    expect((await pulumi(stack, "refresh")).code).toBe(0);

    expect(await pulumi(stack, "up")).toMatchObject({ code: 0 });
    const down = await pulumi(stack, "destroy");
    expect([down.output, ...(await problemsOf(lab, stack, afterKill, down))]).toEqual([down.output]);
    expect(await lab.untouchable(stack)).toEqual(before);
  });

  test(`or by homelab ${stack} alone, also where the kill has left Pulumi's own file torn`, async () => {
    const before = await lab.untouchable(stack);
    await killUpOf(stack);
    const afterKill = await lookAfterKill(lab);
    truncateSync(`${lab.stateFile(stack)}.attrs`);
    expect((await pulumi(stack, "up")).output).toContain("failed to load checkpoint: EOF");
    const again = await lab.homelab(stack);
    expect([again.output, ...(await problemsOf(lab, stack, afterKill, again))]).toEqual([again.output]);
    expect(await lab.untouchable(stack)).toEqual(before);
  });
});
