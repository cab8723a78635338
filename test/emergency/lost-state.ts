/** The state of production is gone and everything it described runs on. */
import { readdirSync, readFileSync, renameSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { nodeCommand } from "../../cli/lab/node-command";
import { client, type Ended, inGuest, lab, requests, run } from "../support/rehearsal-lab";

const MINUTE = 60_000;
const VM = 200;

const stateSchema = z.object({
  deployment: z.object({
    resources: z.array(
      z.looseObject({
        urn: z.string(),
        id: z.string().optional(),
        protect: z.boolean().optional(),
        inputs: z.unknown().optional(),
      }),
    ),
  }),
});

/** By URN, of one backend: everything that is no provider and nothing of this project's own, which is made anew. */
async function livingIn(env: Record<string, string>) {
  const { stdout } = await expectSuccess(["pulumi", "stack", "export", "-s", "prod", "--show-secrets"], env);
  const { resources } = stateSchema.parse(JSON.parse(stdout)).deployment;
  const living = resources.filter(({ urn }) => !/(?:\$|::)(?:pulumi:providers|homelab:prod):/.test(urn));
  return new Map(living.map(({ urn, id, protect, inputs }) => [urn, { id, protect, inputs: withoutNotes(inputs) }]));
}

/** Without the bridge's notes on which inputs are defaults, which differ between a created and a refreshed resource. */
function withoutNotes(inputs: unknown): unknown {
  return JSON.parse(JSON.stringify(inputs ?? {}, (key, value: unknown) => (key === "__defaults" ? undefined : value)));
}

async function expectSuccess(command: readonly string[], env: Record<string, string>): Promise<Ended> {
  const ended = await run(command, { env });
  if (ended.code !== 0) throw new Error(`${command.join(" ")} ended with code ${ended.code}:\n${ended.output}`);
  return ended;
}

/** Ids of all containers with the time of their start, volumes and networks. A volume has no id, and its time is its last change. */
async function onTheEngine(): Promise<string> {
  return inGuest(
    VM,
    "docker ps -aq --no-trunc | xargs docker inspect --format '{{.Name}} {{.Id}} {{.State.StartedAt}}' | sort; " +
      "docker volume ls --quiet | sort; " +
      "docker network ls --no-trunc --format '{{.Name}} {{.ID}}' | sort",
  );
}

async function inProxmox(): Promise<unknown> {
  const anything = z.unknown();
  return {
    vm: await client.get(`/nodes/pve/qemu/${VM}/config`, anything),
    job: await client.get("/cluster/backup/homelab", anything),
    storage: await client.get("/storage/nas", anything),
    dns: readFileSync(join(lab().dir, "cloudflare-records.json"), "utf8"),
  };
}

/** Whether any file below a folder, with all that a backend keeps of the past, contains a text. */
function filesWith(dir: string, text: string): string[] {
  return readdirSync(dir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((file) => readFileSync(file).includes(text));
}

export function lostStateTests(): void {
  test(
    "homelab adopt takes everything that runs into a new state, replaces and restarts nothing, and ends without changes",
    async () => {
      const old = await livingIn({});
      const before = { engine: await onTheEngine(), proxmox: await inProxmox() };
      // Another computer: no state, no known hosts.
      const backend = join(lab().dir, "adopted-state");
      await mkdir(backend);
      const env = { PULUMI_BACKEND_URL: `file://${backend}` };
      renameSync(join(lab().home, "known_hosts"), join(lab().home, "known_hosts.lost"));
      await expectSuccess(["pulumi", "stack", "init", "prod"], env);
      const asked = requests().length;

      const { output } = await expectSuccess(nodeCommand("cli/main.ts", ["adopt", "-s", "prod"]), env);

      expect(output).toMatch(/\d+ resources are adopted; a preview shows no changes\./);
      expect(output).not.toContain("missing  ");
      expect({ engine: await onTheEngine(), proxmox: await inProxmox() }).toEqual(before);
      const writes = requests()
        .slice(asked)
        .filter(({ method, path }) => method !== "GET" && !/\/agent\/(?:exec|ping)$/.test(path));
      expect(writes).toEqual([]);
      const adopted = await livingIn(env);
      expect([...adopted.keys()].sort()).toEqual([...old.keys()].sort());
      for (const [urn, state] of old) expect([urn, adopted.get(urn)]).toEqual([urn, state]);

      const secrets = z.record(z.string(), z.string()).parse(JSON.parse(readFileSync(lab().secretsFile, "utf8")));
      expect(Object.keys(secrets).length).toBeGreaterThan(1);
      for (const [key, secret] of Object.entries(secrets)) {
        expect([key, filesWith(backend, secret), output.includes(secret)]).toEqual([key, [], false]);
      }
    },
    15 * MINUTE,
  );
}
