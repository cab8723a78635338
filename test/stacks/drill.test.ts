import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { parse } from "yaml";
import { loadCatalogue } from "../../services/catalogue";
import { parseConfig, type DrillConfig } from "../../stacks/config";
import { drill } from "../../stacks/drill";
import { readRawConfig } from "../../stacks/raw-config";
import { expectGolden, find, recordGraph, type Mocks, type RecordedResource } from "./graph";

const RUN = {
  runId: "2026-11-20T10-00-00Z-drill-abcd",
  runDir: "/repo/drills/2026-11-20T10-00-00Z-drill-abcd",
  node: "pve",
  vmId: 9200,
  vmName: "docker-drill",
  vmUuid: "6f1c2f3e-8a57-4a55-9d0b-0c8f7ad1d0aa",
};
const ARCHIVE = "nas:backup/vzdump-qemu-200-2026_11_20-02_00_00.vma.zst";
/** What the evidence of a drill says that found no archive. */
const PLANNED = {
  ...{ kind: "drill", stack: "drill", node: "pve", vmId: 9200, vmName: "docker-drill", sourceVmId: 200 },
  ...{ evidenceDir: "/repo/drills", rtoTargetSeconds: 14400, rpoTargetSeconds: 90000, environmentNotes: [] },
};
const TARGETS = [{ name: "gateway", address: "192.168.20.1", port: 53 }];
const restorePoint = { archive: ARCHIVE, archiveTime: 1795140000, archiveBytes: 300_000_000, notes: "docker" };

const mocks: Mocks = {
  "homelab:drill:Lease": (name) => ({ id: name, outputs: { run: RUN, startedAtNode: "2026-11-20T10:00:00.000Z" } }),
  "homelab:drill:RestoredVm": (name) => ({ id: name, outputs: { status: "passed" } }),
  "homelab:drill:GuestBoot": (name) => ({ id: name, outputs: { status: "passed", bootId: "boot-2" } }),
  "homelab:drill:IsolationControl": (name) => ({ id: name, outputs: { targets: TARGETS, observations: [] } }),
  "homelab:drill:IsolationProbe": (name) => ({ id: name, outputs: { status: "passed", reason: "" } }),
  "homelab:drill:ServiceCheck": (name) => ({ id: name, outputs: { status: "passed", results: [] } }),
  "homelab:drill:GuestContainers": (name) => ({ id: name, outputs: { status: "passed", results: [] } }),
  "homelab:drill:RecoveryPoint": (name) => ({ id: name, outputs: { status: "passed", rpoSeconds: 60 } }),
  "homelab:drill:Verdict": (name) => ({
    id: name,
    outputs: { verdict: "passed", rtoSeconds: 1, rpoSeconds: 60, evidenceFile: "e", reportFile: "r" },
  }),
};

function committedConfig(): DrillConfig {
  const read = (file: string): unknown => parse(readFileSync(path.join(__dirname, "../..", file), "utf8"));
  const { raw } = readRawConfig(read("Pulumi.yaml"), read("Pulumi.drill.yaml"));
  const context = { stack: "drill", projectDir: "/repo", secretKeys: new Set<string>(), catalogue: loadCatalogue() };
  const config = parseConfig(raw, context);
  if (config.kind !== "drill") throw new Error(`Pulumi.drill.yaml is of kind ${config.kind}.`);
  return config;
}

const lookups: Record<string, unknown>[] = [];

function graphOf(config: DrillConfig, catalogue = loadCatalogue()): Promise<RecordedResource[]> {
  lookups.length = 0;
  return recordGraph(() => drill(config, catalogue, "drill"), {
    stack: "drill",
    mocks,
    calls: {
      "homelab:drill:lookupRestorePoint": (args) => {
        lookups.push(args);
        return restorePoint;
      },
    },
  });
}

describe("the committed stack", () => {
  let graph: RecordedResource[];
  beforeAll(async () => {
    graph = await graphOf(committedConfig());
  });

  test("as a whole", () => expectGolden("drill.json", graph));

  test("looks for production's newest archive", () => {
    expect(lookups).toEqual([
      { node: "pve", storage: "nas", sourceVmId: 200, choice: { choose: "latest" }, plannedRun: PLANNED },
    ]);
  });

  test("touches nothing but its own VM, on the isolated bridge", () => {
    const { inputs } = find(graph, "homelab:drill:RestoredVm", "drill-vm");
    expect(inputs).toMatchObject({ run: { vmId: 9200 }, sourceVmId: 200, isolatedBridge: "vmbr99" });
    const custom = graph.map(({ type }) => type).filter((type) => !type.startsWith("homelab:components:"));
    expect(custom.every((type) => type.startsWith("homelab:drill:"))).toBe(true);
  });

  test("asks for the controls while the restore runs, and from inside only after the boot", () => {
    const control = find(graph, "homelab:drill:IsolationControl", "drill-isolation-control");
    expect(control.after).toEqual(["drill-lease"]);
    expect(control.inputs).toMatchObject({
      sourceVmId: 200,
      gateways: ["192.168.20.1"],
      outside: [{ address: "1.1.1.1", port: 443 }],
      ssh: { address: "192.168.20.200", user: "homelab", knownHostsFile: "~/.homelab/known_hosts" },
    });
    const probe = find(graph, "homelab:drill:IsolationProbe", "drill-isolation-probe");
    expect(probe.after).toEqual(["drill-boot", "drill-isolation-control", "drill-lease"]);
    expect(probe.inputs).toMatchObject({ bootStatus: "passed", targets: TARGETS, controls: [] });
  });

  test("names the archive in plain inputs", () => {
    expect(find(graph, "homelab:drill:Lease", "drill-lease").inputs.restorePoint).toEqual(restorePoint);
    expect(find(graph, "homelab:drill:RestoredVm", "drill-vm").inputs.restorePoint).toEqual(restorePoint);
  });

  test("checks every service of the catalogue, all side by side after the proof of isolation", () => {
    const checks = graph.filter(({ type }) => type === "homelab:drill:ServiceCheck");
    expect(checks.map(({ inputs }) => inputs.service)).toEqual([
      "miniflux",
      "postgres",
      "recovery-canary",
      "reverse-proxy",
    ]);
    for (const { after = [] } of checks) {
      expect(after).toEqual(expect.arrayContaining(["drill-isolation-probe"]));
      expect(after.filter((name) => name.startsWith("check-"))).toEqual([]);
    }
  });

  test("the verdict comes after every check and expects each", () => {
    const { inputs, after = [] } = find(graph, "homelab:drill:Verdict", "verdict");
    expect(inputs.expectedServices).toEqual(["postgres", "miniflux", "recovery-canary", "reverse-proxy"]);
    expect(inputs.expectRecoveryPoint).toBe(true);
    expect(after).toEqual(
      expect.arrayContaining([
        "check-miniflux",
        "check-postgres",
        "check-recovery-canary",
        "check-recovery-point",
        "check-reverse-proxy",
      ]),
    );
  });

  test("the recovery point is read from the canary's table", () => {
    expect(find(graph, "homelab:drill:RecoveryPoint", "check-recovery-point").inputs).toMatchObject({
      container: "postgres",
      table: "recovery_canary",
      bootId: "boot-2",
      reference: "2026-11-20T10:00:00.000Z",
      archiveTime: restorePoint.archiveTime,
    });
  });

  test("without a recorded root the HTTP check carries none, so that it is skipped and not passed", () => {
    const { checks } = find(graph, "homelab:drill:ServiceCheck", "check-miniflux").inputs as {
      checks: Record<string, unknown>[];
    };
    expect(checks.find(({ kind }) => kind === "http")).not.toHaveProperty("rootCertificatePem");
  });
});

test("an own outside takes the place of the well-known one; a VM with IPv6 has a second gateway and a second one", async () => {
  const config = committedConfig();
  const inputs = async (changed: DrillConfig): Promise<unknown> =>
    find(await graphOf(changed), "homelab:drill:IsolationControl", "drill-isolation-control").inputs;
  const outside = ["9.9.9.9:853", "[2620:fe::fe]:443"];
  expect(await inputs({ ...config, drill: { ...config.drill, outside } })).toMatchObject({
    outside: [
      { address: "9.9.9.9", port: 853 },
      { address: "2620:fe::fe", port: 443 },
    ],
  });
  const ipv6 = { address: "fd00:20::200/64", gateway: "fd00:20::1" };
  expect(await inputs({ ...config, dockerVm: { ...config.dockerVm, ipv6 } })).toMatchObject({
    gateways: ["192.168.20.1", "fd00:20::1"],
    outside: [{ address: "1.1.1.1" }, { address: "2606:4700:4700::1111", port: 443 }],
  });
});

test("a recorded root goes into the HTTP check", async () => {
  const trust = mkdtempSync(path.join(tmpdir(), "homelab-trust-"));
  try {
    writeFileSync(path.join(trust, "example.net-proxy-root.pem"), "PEM of the root");
    const config = committedConfig();
    const graph = await graphOf({ ...config, files: { ...config.files, trust } });
    const { checks } = find(graph, "homelab:drill:ServiceCheck", "check-miniflux").inputs as {
      checks: Record<string, unknown>[];
    };
    expect(checks.find(({ kind }) => kind === "http")?.rootCertificatePem).toBe("PEM of the root");
  } finally {
    rmSync(trust, { recursive: true });
  }
});

test("another restore point is asked for as it is configured", async () => {
  const config = committedConfig();
  const choice = { choose: "random" as const, withinDays: 30 };
  await graphOf({ ...config, drill: { ...config.drill, restorePoint: choice } });
  expect(lookups).toMatchObject([{ sourceVmId: 200, choice }]);
});

test("the generic profile knows nothing of the catalogue: it asks the guest, and expects no recovery point", async () => {
  const config = committedConfig();
  const graph = await graphOf({ ...config, drill: { ...config.drill, profile: "generic" } });
  const types = graph.map(({ type }) => type);
  expect(types).not.toContain("homelab:drill:ServiceCheck");
  expect(types).not.toContain("homelab:drill:RecoveryPoint");
  const { inputs, after = [] } = find(graph, "homelab:drill:GuestContainers", "check-containers");
  expect(inputs).toEqual({ run: RUN, bootStatus: "passed", timeoutSeconds: config.timeouts.checkSeconds });
  expect(after).toContain("drill-isolation-probe");
  const verdict = find(graph, "homelab:drill:Verdict", "verdict");
  expect(verdict.inputs).toMatchObject({ expectedServices: ["containers"], expectRecoveryPoint: false });
  expect(verdict.after).toContain("check-containers");
});

test("a service that is cut off is not checked, and its reason goes into the evidence", async () => {
  const [first, ...others] = loadCatalogue().reverse();
  if (first === undefined) throw new Error("The catalogue is empty.");
  const cutOff = { ...first, inDrill: "cut-off" as const, inDrillReason: "It needs the tunnel." };
  const graph = await graphOf(committedConfig(), [...others, cutOff]);
  expect(find(graph, "homelab:drill:ServiceCheck", `check-${first.name}`).inputs).toMatchObject({
    mandatory: false,
    checks: [{ kind: "excused", name: "not in this restore", reason: "cut off in a drill: It needs the tunnel." }],
  });
});
