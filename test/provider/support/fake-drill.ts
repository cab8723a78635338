/** A provider on the fake Proxmox, and a drill on it step by step, as the engine would run it. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { CheckSpec } from "../../../provider/contract/checks";
import type { RunRef } from "../../../provider/contract/run";
import { createProvider, type StoppableProvider } from "../../../provider/plugin";
import { DRILL_TOKENS } from "../../../provider/tokens";
import { ARCHIVE, ARCHIVE_TIME, FakePve, NODE } from "./fake-pve";

export type Bag = Record<string, unknown>;

export const BOOT_ID = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee";
export const RESTORE_POINT = { archive: ARCHIVE, archiveTime: ARCHIVE_TIME, archiveBytes: 1000, notes: "docker" };

/** What `docker inspect` prints when the container web is in this state and all others are well. */
export function inspected(command: string[], web: string): string {
  const names = command.slice(command.indexOf("--format") + 2);
  const line = (name: string): string =>
    `/${name}\t${name === "web" ? web : "running\thealthy\t0"}\t137\t2026-11-20T02:00:00Z\n`;
  return names.map(line).join("");
}

/** What the probes print in a guest that reaches nobody. */
export function isolated(command: string[]): string {
  const targets = command.slice(command.indexOf("probe") + 3);
  const lines = targets.map((target, index) => `tcp ${index} ${target.replace(/\/\d+$/, "")} 124 `);
  return [...lines, "everyone-asked eth0", "end", ""].join("\n");
}

export function healthyGuest(command: string[]): { exitCode: number; stdout: string } {
  if (command[0] === "bash") return { exitCode: 0, stdout: isolated(command) };
  if (command[0] === "cat") return { exitCode: 0, stdout: `${BOOT_ID}\n` };
  if (command[0] === "curl") return { exitCode: 0, stdout: "<html>Sign in</html>\n200" };
  if (command[1] === "inspect") return { exitCode: 0, stdout: inspected(command, "running\thealthy\t0") };
  const query = command.at(-1) ?? "";
  const stamp = new Date((ARCHIVE_TIME - 30) * 1000).toISOString();
  return { exitCode: 0, stdout: query.includes("max(stamped_at)") ? `${stamp}\n` : "3\n" };
}

export const urn = (token: string): string => `urn:pulumi:drill::homelab::${token}::x`;

export const WEB_CHECKS: CheckSpec[] = [
  { kind: "container", name: "container", container: "web", hasHealthCheck: true },
  {
    kind: "http",
    name: "sign-in",
    hostName: "rss.example.net",
    containers: ["proxy", "web"],
    path: "/",
    expectStatus: 200,
    rootCertificatePem: "PEM",
  },
  {
    ...{ kind: "sql", name: "rows", container: "db", database: "d", user: "u", query: "SELECT 1" },
    ...{ archiveTime: ARCHIVE_TIME, expect: { atLeast: 1 } },
  },
];

/** What a drill left. */
export interface RunDrill {
  readonly run: RunRef;
  /** State of each resource by its token. */
  readonly states: Map<string, Bag>;
  readonly verdict: Promise<Bag>;
}

/** One provider, one fake cluster and one evidence folder. */
export class FakeDrill implements AsyncDisposable {
  readonly pve = new FakePve();
  readonly provider: StoppableProvider;

  constructor(
    readonly evidenceDir: string,
    host = "fake",
  ) {
    this.pve.guest = healthyGuest;
    this.provider = createProvider({ client: this.pve.client({ host }), containerWindowMs: 10 });
  }

  static async make(): Promise<FakeDrill> {
    return new FakeDrill(await mkdtemp(join(tmpdir(), "homelab-drills-")));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.evidenceDir, { recursive: true });
  }

  async create(token: string, inputs: Bag): Promise<{ id: string; outs: Bag }> {
    const checked = await this.provider.check?.(urn(token), {}, inputs);
    expect(checked?.failures).toEqual([]);
    const result = await this.provider.create?.(urn(token), inputs);
    if (result === undefined) throw new Error("The provider has no create.");
    return { id: result.id, outs: result.outs as Bag };
  }

  leaseInputs(): Bag {
    return {
      ...{ kind: "drill", stack: "drill", node: NODE, vmId: 9200, vmName: "drill-docker", sourceVmId: 200 },
      ...{ restorePoint: RESTORE_POINT, storage: "local-lvm", memoryMiB: 1024, evidenceDir: this.evidenceDir },
      ...{ rtoTargetSeconds: 600, rpoTargetSeconds: 7200, environmentNotes: [] },
    };
  }

  vmInputs(run: unknown): Bag {
    return {
      ...{
        kind: "drill",
        run,
        restorePoint: RESTORE_POINT,
        sourceVmId: 200,
        storage: "local-lvm",
        isolatedBridge: "vmbr99",
        pool: "homelab-drill",
      },
      ...{ memoryMiB: 1024, restoreTimeoutSeconds: 5 },
    };
  }

  /** The proof of isolation: whether services may be checked. */
  async isolation(
    run: unknown,
    bootStatus: unknown,
    step = async (token: string, inputs: Bag): Promise<Bag> => (await this.create(token, inputs)).outs,
  ): Promise<unknown> {
    const { targets, observations } = await step(DRILL_TOKENS.isolationControl, this.controlInputs(run));
    const inputs = { run, bootStatus, targets, controls: observations, networkSeconds: 2, stopTimeoutSeconds: 5 };
    return (await step(DRILL_TOKENS.isolationProbe, inputs))["status"];
  }

  /** Nobody can log in: there is no control, which is a finding. */
  controlInputs(run: unknown): Bag {
    const ssh = {
      ...{ address: "192.168.20.200", user: "homelab", privateKeyFile: "/nowhere/key" },
      knownHostsFile: join(this.evidenceDir, "known_hosts"),
    };
    const outside = [{ address: "1.1.1.1", port: 443 }];
    return { run, sourceVmId: 200, gateways: ["192.168.20.1"], outside, ssh };
  }

  /** A run that has begun, and the state of its lease. */
  async lease(): Promise<{ outs: Bag; run: RunRef }> {
    const { outs } = await this.create(DRILL_TOKENS.lease, this.leaseInputs());
    return { outs, run: outs["run"] as RunRef };
  }

  /** The inputs of an emergency instead of a drill's. */
  readonly emergency = {
    lease: (): Bag => {
      const rest = this.leaseInputs();
      for (const key of ["storage", "memoryMiB"]) Reflect.deleteProperty(rest, key);
      return { ...rest, kind: "emergency", stack: "restore", vmId: 200, vmName: "docker" };
    },
    vm: (run: unknown): Bag => ({
      ...{ kind: "emergency", run, restorePoint: RESTORE_POINT, sourceVmId: 200, restoreTimeoutSeconds: 5 },
      pool: "homelab-prod",
    }),
  };

  /** A whole drill as the engine would run it, or an emergency. */
  async drill(
    checks = WEB_CHECKS,
    inputs: { lease: () => Bag; vm: (run: unknown) => Bag } = {
      lease: () => this.leaseInputs(),
      vm: (run) => this.vmInputs(run),
    },
  ): Promise<RunDrill> {
    const states = new Map<string, Bag>();
    const step = async (token: string, inputs: Bag): Promise<Bag> => {
      const { outs } = await this.create(token, inputs);
      states.set(token, outs);
      return outs;
    };
    const leased = await step(DRILL_TOKENS.lease, inputs.lease());
    const run = leased["run"] as RunRef;
    const vm = await step(DRILL_TOKENS.restoredVm, inputs.vm(run));
    const boot = await step(DRILL_TOKENS.guestBoot, {
      ...{ run, restoreStatus: vm["status"], startTimeoutSeconds: 5, agentTimeoutSeconds: 1 },
    });
    const bootStatus = leased["kind"] === "drill" ? await this.isolation(run, boot["status"], step) : boot["status"];
    await step(DRILL_TOKENS.serviceCheck, {
      ...{ run, service: "web", bootStatus, checks, mandatory: true, timeoutSeconds: 2 },
    });
    await step(DRILL_TOKENS.recoveryPoint, {
      ...{ run, bootStatus, bootId: boot["bootId"], archiveTime: ARCHIVE_TIME, reference: "2026-11-20T02:00:00.000Z" },
      ...{ container: "db", database: "d", user: "u", table: "canary", intervalSeconds: 60, skewSeconds: 5 },
      timeoutSeconds: 2,
    });
    const verdict = step(DRILL_TOKENS.verdict, { run, expectedServices: ["web"], expectRecoveryPoint: true });
    verdict.catch(() => undefined); // each test says itself what it expects
    await verdict.catch(() => undefined);
    return { run, states, verdict };
  }

  async delete(token: string, state: Bag | undefined): Promise<void> {
    await this.provider.delete?.("id", urn(token), state);
  }

  /** Everything of a drill, the last resource first. */
  async destroy(states: Map<string, Bag>): Promise<void> {
    for (const [token, state] of [...states].reverse()) await this.delete(token, state);
  }
}
