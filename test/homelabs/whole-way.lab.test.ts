/**
 * The whole way on a second homelab, which shares no name or number with the committed one: other VMIDs, node, storages,
 * bridges, zone, retention and backup mode, a VLAN, IPv6, two disks, 25 services with odd characters. It runs in a lab of its
 * own: `npm run test:second`.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { lookup } from "node:dns/promises";
import { join } from "node:path";
import { Agent, request } from "undici";
import { z } from "zod";
import { listRuns, readNewEvidence } from "../../cli/rehearsal/evidence";
import { runInGuest } from "../../pve/nodes/agent";
import { client, evidenceDir, lab, pulumi, requests, run } from "../support/rehearsal-lab";
import { forbiddenCalls } from "../support/drill-calls";
import { nfsOptions } from "../../components/service";
import { nodeCommand } from "../../cli/lab/node-command";
import { ODD_VALUES, SECOND_CATALOGUE } from "./second/catalogue";

const MINUTE = 60_000;
const NODE = "hv-02";
const VM = 3071;
const DRILL_VM = 93071;
const ZONE = "lab-2.example.org";

async function inGuest(vmId: number, ...command: string[]): Promise<string> {
  const result = await runInGuest(client, { node: NODE, vmId }, command, { timeoutMs: 4 * MINUTE });
  if (result.exitCode !== 0) throw new Error(`${command.join(" ")} in VM ${vmId}: ${result.stderr}${result.stdout}`);
  return result.stdout.trim();
}

const textsSchema = z.looseObject({ net0: z.string(), ipconfig0: z.string().optional(), scsi1: z.string() });

test(
  "one update brings the machine and 25 services up",
  async () => {
    await pulumi(["up", "-s", "prod", "--yes"]);
    const names = await inGuest(VM, "docker", "ps", "--format", "{{.Names}}");
    expect(names.split("\n").sort()).toEqual(SECOND_CATALOGUE.map(({ name }) => name).sort());
    const config = await client.get(`/nodes/${NODE}/qemu/${VM}/config`, textsSchema);
    expect(config.net0).toMatch(/bridge=vmbr7,.*tag=30/);
    expect(config.ipconfig0).toContain("ip6=fd00:30::71/64");
    expect(config.scsi1).toMatch(/^bulk-hdd:vm-3071-disk-0,.*size=3G/);
    // Which disk is sda depends on which controller answers first.
    const sizes = await inGuest(VM, "lsblk", "-dno", "SIZE", "-e", "7,11");
    expect(
      sizes
        .split("\n")
        .map((size) => size.trim())
        .sort(),
    ).toEqual(["12G", "3G"]);
  },
  20 * MINUTE,
);

test(
  "odd values arrive in the container as they stand in the file",
  async () => {
    const text = await inGuest(VM, "docker", "inspect", "--format", "{{json .Config.Env}}", "9-lives");
    const values = z.array(z.string()).parse(JSON.parse(text));
    for (const [key, value] of Object.entries(ODD_VALUES)) expect(values).toContain(`${key}=${value}`);
  },
  MINUTE,
);

test(
  "a name of the LAN leads to the machine by IPv4 and by IPv6, with the recorded root",
  async () => {
    const ca = readFileSync(join(lab().project, "trust", `${ZONE}-proxy-root.pem`));
    const host = `hello.${ZONE}`;
    for (const family of [4, 6] as const) {
      const { address } = await lookup(host, { family });
      expect(address).toBe(family === 4 ? "10.30.0.71" : "fd00:30::71");
      const dispatcher = new Agent({ connect: { ca, family, autoSelectFamily: false } });
      const response = await request(`https://${host}/`, { dispatcher });
      expect([response.statusCode, await response.body.text()]).toEqual([200, "grüezi"]);
      await dispatcher.close();
    }
  },
  2 * MINUTE,
);

test(
  "a second update and a refresh change nothing",
  async () => {
    await pulumi(["up", "-s", "prod", "--yes", "--expect-no-changes"]);
    await pulumi(["preview", "-s", "prod", "--refresh", "--expect-no-changes"]);
  },
  5 * MINUTE,
);

test(
  "a changed port of one service replaces that container alone, which publishes it on both addresses",
  async () => {
    const file = join(lab().project, "services", "wiki.ts");
    const spec = readFileSync(file, "utf8");
    expect(spec).toContain('"hostPort": 20009');
    writeFileSync(file, spec.replaceAll('"hostPort": 20009', '"hostPort": 20909'));
    const idsOf = async (): Promise<string[]> =>
      (await inGuest(VM, "docker", "ps", "--no-trunc", "--format", "{{.Names}} {{.ID}}")).split("\n").sort();
    const before = await idsOf();
    await pulumi(["up", "-s", "prod", "--yes"]);
    const changed = (await idsOf()).filter((line) => !before.includes(line));
    expect(changed).toEqual([expect.stringMatching(/^wiki /)]);
    const ports = (await inGuest(VM, "docker", "port", "wiki")).split("\n").sort();
    expect(ports).toEqual(
      ["tcp", "udp"].flatMap((protocol) => [`7000/${protocol} -> 0.0.0.0:20909`, `7000/${protocol} -> :::20909`]),
    );
    await pulumi(["preview", "-s", "prod", "--refresh", "--expect-no-changes"]);
  },
  5 * MINUTE,
);

let archive: string;

test(
  "the declared job stops the machine, backs both disks up and starts it again",
  async () => {
    const { uptime } = await client.get(
      `/nodes/${NODE}/qemu/${VM}/status/current`,
      z.looseObject({ uptime: z.number() }),
    );
    const ended = await run(nodeCommand("cli/main.ts", ["backup", "now", "-s", "prod"]));
    if (ended.code !== 0) throw new Error(ended.output);
    const after = await client.get(`/nodes/${NODE}/qemu/${VM}/status/current`, z.looseObject({ uptime: z.number() }));
    expect(after.uptime).toBeLessThan(uptime);
    const content = `/nodes/${NODE}/storage/vault-2/content`;
    const items = await client.get(content, z.array(z.looseObject({ volid: z.string(), notes: z.string() })));
    expect(items.map(({ notes }) => notes)).toEqual(["apps-01 #3071"]);
    archive = items[0]?.volid ?? "";
  },
  20 * MINUTE,
);

test(
  "the drill passes on it: every service that must run, and the one that is cut off with its reason",
  async () => {
    const runsBefore = await listRuns(evidenceDir());
    const requestsBefore = requests().length;
    await pulumi(["up", "-s", "drill", "--yes"]);
    expect(forbiddenCalls(requests().slice(requestsBefore), DRILL_VM)).toEqual([]);
    const { evidence } = await readNewEvidence(evidenceDir(), runsBefore);
    expect(evidence).toMatchObject({ verdict: "passed", source: { archive }, target: { node: NODE } });
    expect(new Set(evidence.checks.map(({ service }) => service)).size).toBe(25);
    expect(evidence.checks.filter(({ status }) => status !== "passed")).toMatchObject([
      { service: "tunnel", status: "skipped", mandatory: false },
    ]);
    expect(evidence.rpo.seconds).toBeGreaterThan(0);
    const config = await client.get(`/nodes/${NODE}/qemu/${DRILL_VM}/config`, textsSchema);
    expect(config.net0).toContain("bridge=vmbr700");
    expect(config.net0).not.toContain("tag=");
    expect(config.scsi1).toMatch(/^bulk-hdd:vm-93071-disk-\d,/);
  },
  20 * MINUTE,
);

test(
  "destroy leaves nothing of the drill, and production and the archive as they were",
  async () => {
    await pulumi(["destroy", "-s", "drill", "--yes"]);
    const guests = await client.get("/cluster/resources", z.array(z.looseObject({ vmid: z.number() })), { type: "vm" });
    expect(guests.map(({ vmid }) => vmid)).toEqual([VM]);
    const volumes = await client.get(
      `/nodes/${NODE}/storage/bulk-hdd/content`,
      z.array(z.looseObject({ volid: z.string() })),
    );
    expect(volumes.map(({ volid }) => volid)).toEqual(["bulk-hdd:vm-3071-disk-0"]);
    await pulumi(["preview", "-s", "prod", "--refresh", "--expect-no-changes"]);
  },
  5 * MINUTE,
);

/**
 * As after a restore into a closed network: a container that ran, whose volume is now an export of nobody. No server is needed
 * for it: the engine reads at its start what a volume is.
 */
test(
  "a NAS that is away holds the engine's start up for seconds, and takes only its own container with it",
  async () => {
    const { type, o, device } = nfsOptions({ server: "10.30.0.10", export: "/tank/media" });
    const options = JSON.stringify({ MountType: type, MountOpts: o, MountDevice: device, Quota: { Size: 0 } });
    const engineStart = async (): Promise<number> => {
      const script =
        "a=$(date +%s%N); systemctl restart docker && docker version >/dev/null; echo $(($(date +%s%N) - a))";
      return Number(await inGuest(VM, "bash", "-c", script)) / 1e9;
    };
    const running = async (): Promise<string[]> =>
      (await inGuest(VM, "docker", "ps", "--format", "{{.Names}}")).split("\n").sort();
    // All 25 would take minutes by themselves; what was stopped is not started with the engine.
    const kept = ["a1", "hello-lan"];
    await inGuest(VM, "docker", "stop", ...(await running()).filter((name) => !kept.includes(name)));
    const usual = await engineStart();
    await inGuest(VM, "bash", "-c", `modprobe nfsv4; echo '${options}' >/var/lib/docker/volumes/a1_Data.v0/opts.json`);
    const without = await engineStart();
    const state = await inGuest(VM, "docker", "inspect", "--format", "{{.State.Status}} {{.State.Error}}", "a1");
    expect(state).toMatch(/^exited .*(mount|nfs)/i);
    expect(await running()).toEqual(["hello-lan"]);
    process.stdout.write(`engine's start: ${usual.toFixed(1)} s, without the NAS ${without.toFixed(1)} s: ${state}\n`);
    expect(without - usual).toBeLessThan(30);
  },
  10 * MINUTE,
);

test("the cluster has two nodes, and the second is not mistaken for the first", async () => {
  const nodes = await client.get("/nodes", z.array(z.looseObject({ node: z.string() })));
  expect(nodes.map(({ node }) => node)).toEqual([NODE, "hv-01"]);
  await expect(client.get("/nodes/hv-01/qemu", z.unknown())).rejects.toThrow("hv-01");
});
