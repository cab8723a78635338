import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Observation, ProbeTarget } from "../../provider/contract/isolation";
import { evidenceSchema } from "../../provider/contract/evidence";
import { judge } from "../../provider/evidence";
import { judgeIsolation } from "../../provider/isolation/judge";
import { NotUnderstood, observationsOf, probeCommand } from "../../provider/isolation/observe";
import { linkLocalOf } from "../../provider/isolation/targets";
import { readJournal } from "../../provider/journal";
import { DRILL_TOKENS } from "../../provider/tokens";
import { type Bag, FakeDrill, healthyGuest, isolated } from "./support/fake-drill";
import type { GuestAnswer } from "./support/fake-agent";
import { newKeyPair, startSshServer } from "./support/ssh-server";

const GATEWAY: ProbeTarget = { name: "gateway", address: "192.168.20.1", port: 53 };
const VM: ProbeTarget = { name: "VM 200", address: "fe80::be24:11ff:fe00:1", port: 22 };

/** What the script prints of these two, between the lines of a whole run. */
function outcomesOf(...lines: string[]): string[] {
  const observations = observationsOf(["everyone-asked eth0", ...lines, "end", ""].join("\n"), [GATEWAY, VM]);
  return observations.map(({ probe, outcome, detail }) => `${probe}: ${outcome}, ${detail}`);
}

describe("the output of the probes", () => {
  test("a connection and a refusal are answers, on any interface; time and unreachable hosts are silence", () => {
    expect(
      outcomesOf(
        "tcp 0 192.168.20.1 1 bash: connect: Connection refused; bash: line 1: /dev/tcp/192.168.20.1/53: Connection refused",
        "tcp 1 fe80::be24:11ff:fe00:1%eth0 124 ",
        "tcp 1 fe80::be24:11ff:fe00:1%eth1 0 ",
      ),
    ).toEqual([
      "gateway 192.168.20.1:53: answered, 192.168.20.1: Connection refused",
      "VM 200 [fe80::be24:11ff:fe00:1]:22: answered, fe80::be24:11ff:fe00:1%eth1 took the connection",
      "anyone on its network: silent, a ping to all nodes (ff02::1) came back from nobody else",
    ]);
    expect(
      outcomesOf("tcp 0 192.168.20.1 1 bash: connect: No route to host; bash: /dev/tcp/x: No route to host").at(0),
    ).toBe("gateway 192.168.20.1:53: silent, No route to host");
  });

  test("a MAC address is an answer too, whatever became of the connection", () => {
    expect(outcomesOf("tcp 0 192.168.20.1 124 ", "neighbour 0 192.168.20.1 bc:24:11:aa:bb:cc").at(0)).toBe(
      "gateway 192.168.20.1:53: answered, 192.168.20.1 has answered on layer 2 (bc:24:11:aa:bb:cc)",
    );
  });

  test("what could not be sent proves nothing, and is told apart from silence", () => {
    expect(
      outcomesOf(
        "tcp 0 192.168.20.1 1 bash: connect: Network is unreachable; bash: /dev/tcp/x: Network is unreachable",
      ),
    ).toEqual([
      "gateway 192.168.20.1:53: not-sent, Network is unreachable",
      "VM 200 [fe80::be24:11ff:fe00:1]:22: not-sent, it has no interface that is up",
      "anyone on its network: silent, a ping to all nodes (ff02::1) came back from nobody else",
    ]);
    expect(observationsOf("lacks ping\nend\n", []).at(-1)).toMatchObject({ outcome: "not-sent" });
    expect(observationsOf("end\n", []).at(-1)).toMatchObject({ outcome: "not-sent" });
  });

  test("a gateway that the guest found by itself, and a neighbour that nobody knew of, are named", () => {
    const lines = ["own-gateway fe80::1%eth0", "tcp own fe80::1%eth0 124 ", "everyone eth0 fe80::dead:beef"];
    const seen = outcomesOf("tcp 0 192.168.20.1 124 ", ...lines);
    expect(seen.slice(2)).toEqual([
      "its own gateway: silent, no answer within 3 s",
      "anyone on its network: answered, fe80::dead:beef%eth0 answered a ping",
    ]);
  });

  test.each([
    ["", "the probes did not run to their end"],
    ["tcp 0 192.168.20.1 124 \n", "the probes did not run to their end"],
    ["missing ip\n", 'it has no program "ip"'],
    ["everyone-asked eth0\nend\n", "nothing is told of gateway 192.168.20.1:53"],
    ["tcp 0 192.168.20.1 124 \nown-gateway 192.168.20.254\nend\n", "nothing is told of its own gateway"],
    ["tcp 0 192.168.20.1 127 bash: exec: not found\nend\n", "a connection to 192.168.20.1 ended with code 127"],
    ["tcp 0 192.168.20.1\nend\n", 'the probes printed "tcp 0 192.168.20.1"'],
    ["Hello!\nend\n", 'the probes printed "Hello!"'],
  ])("%j is not understood, and proves nothing", (stdout, text) => {
    const read = (): unknown => observationsOf(stdout, [GATEWAY]);
    expect(read).toThrow(NotUnderstood);
    expect(read).toThrow(text);
  });
});

test("each probe stands beside its control; silence without one is told apart from silence that is proved", () => {
  const seen = (probe: string, outcome: Observation["outcome"]): Observation => ({ probe, outcome, detail: "seen" });
  const { results, waysOut, unproven, wasSent } = judgeIsolation(
    [seen("a", "silent"), seen("b", "silent"), seen("c", "answered"), seen("d", "not-sent"), seen("e", "silent")],
    [seen("a", "answered"), seen("b", "silent"), seen("c", "silent"), seen("d", "answered")],
  );
  expect(results.map(({ probe, control }) => `${probe} ${control}`)).toEqual([
    ...["a answered", "b silent", "c silent", "d answered", "e none"],
  ]);
  expect(waysOut).toEqual(["c answered (seen)"]);
  expect(wasSent).toBe(true);
  expect(judgeIsolation([seen("a", "not-sent"), seen("b", "silent")], []).wasSent).toBe(true);
  expect(judgeIsolation([seen("a", "not-sent"), seen("b", "not-sent")], []).wasSent).toBe(false);
  expect(unproven).toEqual([
    "The silence of b proves nothing: it does not answer the source VM either (seen).",
    "The silence of d proves nothing: the restored VM could not ask it (seen).",
  ]);
});

test.each([
  ["BC:24:11:00:00:01", "fe80::be24:11ff:fe00:1"],
  ["02:00:00:00:00:00", "fe80::ff:fe00:0"],
  ["52:54:00:12:34:56", "fe80::5054:ff:fe12:3456"],
])("Linux makes of the MAC address %s the address %s", (mac, address) => {
  expect(linkLocalOf(mac)).toBe(address);
});

describe("a drill", () => {
  let fake: FakeDrill;
  beforeEach(async () => {
    fake = await FakeDrill.make();
    fake.pve.vms.set(200, {
      config: { name: "docker", net0: "virtio=BC:24:11:00:00:01,bridge=vmbr0" },
      status: "running",
    });
  });
  afterEach(async () => fake[Symbol.asyncDispose]());

  /** A guest in which the probes end so; all else in it is well. */
  function probesEnd(answer: (command: string[]) => GuestAnswer): string[][] {
    const commands: string[][] = [];
    fake.pve.guest = (command) => {
      commands.push(command);
      return command[0] === "bash" ? answer(command) : healthyGuest(command);
    };
    return commands;
  }

  const stops = (): string[] => fake.pve.writes.map(({ call }) => call).filter((call) => call.endsWith("/status/stop"));

  test("a way out fails it before any service is checked: the VM is stopped, stays, and goes with destroy", async () => {
    const commands = probesEnd((command) => ({
      exitCode: 0,
      stdout: isolated(command).replace("end", "neighbour 0 192.168.20.1 bc:24:11:aa:bb:cc\nend"),
    }));
    const { run, states, verdict } = await fake.drill();
    await expect(verdict).rejects.toThrow(
      "phase isolation failed: VM 9200 has a way out of its isolated network: gateway 192.168.20.1:53 answered " +
        "(192.168.20.1 has answered on layer 2 (bc:24:11:aa:bb:cc))",
    );
    await expect(verdict).rejects.toThrow("It was stopped before any service was checked.");
    expect(stops()).toEqual(["POST /nodes/pve/qemu/9200/status/stop"]);
    expect(fake.pve.vms.get(9200)?.status).toBe("stopped");
    expect(fake.pve.vms.get(200)?.status).toBe("running");
    expect(commands.map(([program]) => program)).toEqual(["cat", "bash"]);
    const evidence = evidenceSchema.parse(JSON.parse(await readFile(join(run.runDir, "drill.json"), "utf8")));
    expect(evidence).toMatchObject({ verdict: "failed", rto: { seconds: null } });
    expect(evidence.checks.every(({ status }) => status === "skipped")).toBe(true);
    expect(evidence.isolation.filter(({ outcome }) => outcome === "answered")).toHaveLength(1);
    expect(await readFile(join(run.runDir, "report.md"), "utf8")).toContain(
      "| gateway 192.168.20.1:53 | answered | not asked |",
    );
    await fake.destroy(states);
    expect([...fake.pve.vms.keys()]).toEqual([200]);
  });

  test.each<[string, GuestAnswer, RegExp]>([
    ["a guest without bash", { isMissing: true, exitCode: 1 }, /the guest has no program "bash"/],
    ["an output of something else", { exitCode: 0, stdout: "ok\n" }, /the probes did not run to their end: ok/],
  ])("%s is no proof: it fails, and the VM is stopped", async (_, answer, reason) => {
    probesEnd(() => answer);
    const { verdict } = await fake.drill();
    await expect(verdict).rejects.toThrow(reason);
    await expect(verdict).rejects.toThrow(/phase isolation failed: Unable to probe from inside VM 9200/);
    expect(stops()).toHaveLength(1);
  });

  /** What the script prints where no probe could be sent, but for these lines. */
  const mute = (command: string[], ...lines: string[]): GuestAnswer => {
    const unreachable = command.slice(command.indexOf("probe") + 3).flatMap((target, index) => {
      const address = target.replace(/\/\d+$/, "");
      return target.startsWith("fe80:") ? [] : [`tcp ${index} ${address} 1 bash: connect: Network is unreachable`];
    });
    return { exitCode: 0, stdout: [...unreachable, ...lines, "end", ""].join("\n") };
  };

  test("a guest that could send nothing proves nothing: it fails, no service is checked, and the VM is stopped", async () => {
    const commands = probesEnd((command) => mute(command));
    const { run, verdict } = await fake.drill();
    await expect(verdict).rejects.toThrow(
      "phase isolation failed: Unable to prove the isolation of VM 9200: its guest could send nothing within 2 s, neither to " +
        "an address nor by IPv6 link-local, although it has net0, net1. See in its console why its network is not up; if it is only " +
        "slow, raise timeouts.networkSeconds. It was stopped before any service was checked.",
    );
    expect(stops()).toHaveLength(1);
    expect(commands.map(([program]) => program)).toEqual(["cat", "bash"]);
    const evidence = evidenceSchema.parse(JSON.parse(await readFile(join(run.runDir, "drill.json"), "utf8")));
    expect(evidence.isolation.map(({ outcome }) => outcome)).toEqual(evidence.isolation.map(() => "not-sent"));
    expect(evidence.checks.every(({ status }) => status === "skipped")).toBe(true);
  });

  test("a guest that gets no address by DHCP sends over IPv6 link-local: that is silence, and the rest are findings", async () => {
    probesEnd((command) => mute(command, "everyone-asked eth0"));
    const { run, verdict } = await fake.drill();
    await expect(verdict).resolves.toMatchObject({ verdict: "passed" });
    const { findings } = evidenceSchema.parse(JSON.parse(await readFile(join(run.runDir, "drill.json"), "utf8")));
    expect(findings).toContain(
      "The silence of gateway 192.168.20.1:53 proves nothing: the restored VM could not ask it (Network is unreachable).",
    );
  });

  test("a VM without a card has no network to wait for, and none to leave", async () => {
    const commands = probesEnd((command) => mute(command));
    fake.pve.archiveConfig = fake.pve.archiveConfig.replaceAll(/^net\d:.*\n?/gm, "");
    const { run, verdict } = await fake.drill();
    await expect(verdict).resolves.toMatchObject({ verdict: "passed" });
    const probe = commands.find(([program]) => program === "bash") ?? [];
    expect(probe[probe.indexOf("probe") + 1]).toBe("0");
    const { phases } = evidenceSchema.parse(JSON.parse(await readFile(join(run.runDir, "drill.json"), "utf8")));
    expect(phases.find(({ phase }) => phase === "isolation")?.detail).toBe(
      "the VM has no network card, so there was nothing to ask",
    );
  });

  test("a VM that took the VMID meanwhile is not stopped, and the report says what to do", async () => {
    probesEnd(() => {
      fake.pve.vms.set(9200, { config: { name: "somebody-elses" }, status: "running" });
      return { exitCode: 0, stdout: "" };
    });
    await expect((await fake.drill()).verdict).rejects.toThrow(
      "It was not stopped, because it does not carry this run's name, marker and UUID any more: find out whose it is.",
    );
    expect(stops()).toEqual([]);
  });

  test("without a positive control it may pass, but says so", async () => {
    const { run, verdict } = await fake.drill();
    await expect(verdict).resolves.toMatchObject({ verdict: "passed" });
    const { findings, isolation } = evidenceSchema.parse(
      JSON.parse(await readFile(join(run.runDir, "drill.json"), "utf8")),
    );
    expect(findings.join("\n")).toMatch(/No positive control: .*VM 200.* has no host key of it/);
    expect(isolation.map(({ control }) => control)).toEqual(isolation.map(() => "none"));
  });

  test("probes are no services: a drill in which only they passed has checked nothing", async () => {
    const { run } = await fake.lease();
    await fake.isolation(run, "passed");
    const { reasons } = judge(await readJournal(run.runDir), { services: [], recoveryPoint: false });
    expect(reasons).toContain("nothing was checked");
  });

  describe("with VM 200 at hand", () => {
    /** Logs in at a server that answers the probes so, and gives the states of control and probe. */
    async function controlled(answer: (targets: string[]) => string): Promise<{ control: Bag; commands: string[] }> {
      await using server = await startSshServer((command) => ({ exitCode: 0, stdout: answer(command.split(" ")) }));
      const key = join(fake.evidenceDir, "key");
      await writeFile(key, newKeyPair().private, { mode: 0o600 });
      const knownHostsFile = join(fake.evidenceDir, "known_hosts");
      await writeFile(knownHostsFile, `[127.0.0.1]:${server.port} ${server.hostKey}\n`);
      const { run } = await fake.lease();
      const ssh = { address: "127.0.0.1", port: server.port, user: "homelab", privateKeyFile: key, knownHostsFile };
      const { outs } = await fake.create(DRILL_TOKENS.isolationControl, { ...fake.controlInputs(run), ssh });
      return { control: outs, commands: server.commands };
    }

    test("the same command runs there, with the address that only production has", async () => {
      const { control, commands } = await controlled(
        () => "tcp 0 192.168.20.1 0 \ntcp 1 fe80::1%eth0 0 \ntcp 2 x 124 \nend\n",
      );
      const targets = control["targets"] as ProbeTarget[];
      expect(targets).toMatchObject([
        { name: "gateway", address: "192.168.20.1" },
        { name: "VM 200", address: "fe80::be24:11ff:fe00:1" },
        { name: "outside", address: "1.1.1.1" },
      ]);
      expect(commands).toHaveLength(1);
      expect(commands[0]).toMatch(/'192\.168\.20\.1\/53' 'fe80::be24:11ff:fe00:1\/\d+' '1\.1\.1\.1\/443'$/);
      const observations = control["observations"] as Observation[];
      expect(observations.map(({ outcome }) => outcome)).toEqual(["answered", "answered", "silent", "not-sent"]);
    });

    test("an output that is not understood is no control", async () => {
      const { control } = await controlled(() => "Welcome!\n");
      expect(control["observations"]).toEqual([]);
    });
  });
});

test("one command asks all, and takes the addresses as arguments", () => {
  const [bash, flag, script = "", ...rest] = probeCommand([GATEWAY, VM], 4.2);
  expect([bash, flag]).toEqual(["bash", "-c"]);
  expect(script).not.toContain("192.168.20.1");
  expect(rest).toEqual(["probe", "5", "3", "192.168.20.1/53", "fe80::be24:11ff:fe00:1/22"]);
});
