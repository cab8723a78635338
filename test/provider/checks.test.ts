import { bootTime, checkSql } from "../../provider/checks/sql";
import { ContainerWatch, parseStates } from "../../provider/checks/containers";
import type { Guest } from "../../provider/checks/guest";
import type { Outcome } from "../../provider/checks/outcome";
import { hasAgent } from "../../provider/resources/guest-boot";
import { DRILL_TOKENS } from "../../provider/tokens";
import { FakeDrill, healthyGuest, inspected, WEB_CHECKS } from "./support/fake-drill";

let fake: FakeDrill;
beforeEach(async () => {
  fake = await FakeDrill.make();
});
afterEach(async () => fake[Symbol.asyncDispose]());

test("a check whose program the guest lacks is skipped, which is no pass", async () => {
  fake.pve.guest = (command) => (command[0] === "curl" ? { exitCode: 0, isMissing: true } : healthyGuest(command));
  await expect((await fake.drill()).verdict).rejects.toThrow(
    'web: sign-in could not run: the guest has no program "curl"',
  );
});

test("a guest agent that runs no commands ends the boot with what to do", async () => {
  fake.pve.disturb = (call) =>
    call.endsWith("/agent/exec")
      ? { status: 500, text: "Agent error: The command guest-exec has been disabled for this instance" }
      : undefined;
  await expect((await fake.drill()).verdict).rejects.toThrow(
    "Allow guest-exec and guest-exec-status in the configuration of the guest's qemu-guest-agent.",
  );
});

test("stray errors of the server and lost answers fail nothing", async () => {
  const seen = new Map<string, number>();
  fake.pve.disturb = (call) => {
    if (!/\/(?:tasks\/UPID.*\/status|status\/current|agent\/exec|agent\/exec-status)$/.test(call)) return undefined;
    const key = call.replace(/UPID[^/]*/, "UPID");
    const count = (seen.get(key) ?? 0) + 1;
    seen.set(key, count);
    if (call.endsWith("/agent/exec-status")) {
      return count % 4 === 1 ? { status: 502, text: "Bad Gateway", isLost: true } : undefined;
    }
    return count === 1 ? { status: 500, text: "got no worker upid - start worker failed" } : undefined;
  };
  const { verdict } = await fake.drill();
  expect((await verdict)["verdict"]).toBe("passed");
  expect([...seen.keys()]).toHaveLength(4);
}, 20_000);

test("an archive without a guest agent fails before the start, with what to do", async () => {
  fake.pve.archiveConfig = fake.pve.archiveConfig.replace("agent: enabled=1\n", "");
  await expect((await fake.drill()).verdict).rejects.toThrow(
    "phase start failed: Unable to check VM 9200: the configuration in its archive has no guest agent (agent is not " +
      "enabled), and every check runs through it. Run qm set <VMID> --agent enabled=1 for the source VM, install " +
      "qemu-guest-agent in it, shut it down and start it, and make a new backup.",
  );
  expect(fake.pve.writes.some(({ call }) => call.endsWith("/status/start"))).toBe(false);
});

describe("a service that may be newer than the archive", () => {
  const excuse = { unlessAbsent: { container: "web", reason: "first deployed later" } };

  async function check(more: Record<string, unknown>): Promise<unknown> {
    const { run } = await fake.lease();
    fake.pve.vms.set(9200, { config: { name: "docker", agent: "enabled=1" }, status: "running" });
    const inputs = {
      run,
      service: "web",
      bootStatus: "passed",
      checks: WEB_CHECKS,
      mandatory: true,
      timeoutSeconds: 5,
    };
    return (await fake.create(DRILL_TOKENS.serviceCheck, { ...inputs, ...more })).outs["results"];
  }

  test("is excused where the restored machine has no such container", async () => {
    fake.pve.guest = (command) =>
      command[1] === "inspect" ? { exitCode: 1, stderr: "Error: No such container: web" } : healthyGuest(command);
    expect(await check(excuse)).toMatchObject([
      { service: "web", kind: "excused", status: "skipped", mandatory: false, detail: "first deployed later" },
    ]);
  });

  test("is checked like any other where the archive holds it, whatever the record says", async () => {
    const results = await check(excuse);
    expect(results).toHaveLength(WEB_CHECKS.length);
    expect(results).toMatchObject(WEB_CHECKS.map(() => ({ status: "passed", mandatory: true })));
  });
});

test.each([
  [undefined, false],
  ["0", false],
  ["enabled=0,fstrim_cloned_disks=1", false],
  ["1", true],
  ["1,type=virtio", true],
  ["enabled=1", true],
  ["fstrim_cloned_disks=1,enabled=1", true],
])("agent: %s", (text, expected) => {
  expect(hasAgent(text)).toBe(expected);
});

test("the last look at a container is made again while Docker is silent", async () => {
  let looks = 0;
  fake.pve.guest = (command) => {
    if (command[1] !== "inspect") return healthyGuest(command);
    looks += 1;
    return looks > 2 && looks < 5 ? { exitCode: 1, stderr: "Cannot connect" } : healthyGuest(command);
  };
  expect((await (await fake.drill()).verdict)["verdict"]).toBe("passed");
  expect(looks).toBe(5);
}, 20_000);

test("an HTTP check ends when a container on its way stays stopped, and never asks", async () => {
  let now = 0;
  const clock = jest.spyOn(performance, "now").mockImplementation(() => now);
  fake.pve.guest = (command) => {
    now += 7000;
    if (command[0] === "curl") return { exitCode: 7, stderr: "curl was asked" };
    return command[1] === "inspect"
      ? { exitCode: 0, stdout: inspected(command, "exited\t\t0") }
      : healthyGuest(command);
  };
  try {
    const run = await fake.lease();
    const { outs } = await fake.create("homelab:drill:RestoredVm", fake.vmInputs(run.run));
    expect(outs["status"]).toBe("passed");
    const boot = { run: run.run, restoreStatus: "passed", startTimeoutSeconds: 500, agentTimeoutSeconds: 500 };
    await fake.create("homelab:drill:GuestBoot", boot);
    const check = { run: run.run, service: "web", bootStatus: "passed", mandatory: true, timeoutSeconds: 500 };
    const result = await fake.create("homelab:drill:ServiceCheck", {
      ...check,
      checks: WEB_CHECKS.filter(({ kind }) => kind === "http"),
    });
    expect(result.outs["results"]).toMatchObject([
      { status: "failed", detail: "container web is exited with exit code 137" },
    ]);
  } finally {
    clock.mockRestore();
  }
}, 20_000);

describe("{bootedAt}", () => {
  const check = {
    ...{ kind: "sql" as const, name: "rows", container: "db", database: "d", user: "u", expect: { equals: "1" } },
    archiveTime: 1_795_136_400,
    query: "select count(*) from t where made < '{bootedAt}'",
  };
  const watch = new ContainerWatch(async () => ({ states: parseStates("/db\trunning\thealthy\t0\t0\t2026-11-20") }));
  const queries: string[] = [];
  const guest = (procStat: string): Guest => ({
    signal: new AbortController().signal,
    leftMs: () => 100,
    run: async (command) => {
      if (command[0] === "cat") return { exitCode: 0, stdout: procStat, stderr: "" };
      queries.push(command.at(-1) ?? "");
      return { exitCode: 0, stdout: "1\n", stderr: "" };
    },
  });

  test("is the guest's boot by its own clock", async () => {
    expect(await checkSql(guest("cpu 1 2\nbtime 1795140000\nprocesses 1\n"), watch, check)).toEqual({
      ...{ status: "passed", detail: '"1"' },
    });
    expect(queries).toEqual([`select count(*) from t where made < '2026-11-20T02:00:00.000Z'`]);
  });

  test("that can't be read passes nothing", async () => {
    expect(await checkSql(guest(""), watch, check)).toEqual({
      status: "failed",
      detail: "not passed in time; last seen: the guest's boot time can't be read: no btime in /proc/stat",
    });
  });

  test.each<[string, number, Outcome["status"], string]>([
    ["what is found is older than both", 1, "passed", '"1"'],
    [
      "what is not found proves nothing",
      0,
      "skipped",
      '"0", expected "1"; but by its own clock the guest booted at 2026-11-19T02:00:00.000Z, before its archive was made ' +
        "(2026-11-20T01:00:00.000Z): what the archive holds from between looks new",
    ],
  ])("before the archive was made, by a clock that is behind: %s", async (_, count, status, detail) => {
    const right = guest("btime 1795053600\n");
    const run: Guest["run"] = async (command, input) =>
      command[0] === "cat" ? right.run(command, input) : { exitCode: 0, stdout: `${count}\n`, stderr: "" };
    const behind = { ...right, run };
    expect(await checkSql(behind, watch, check)).toEqual({ status, detail });
  });

  test("/proc/stat without btime has none", () => {
    expect(bootTime("cpu 1 2\n")).toBeUndefined();
  });
});
