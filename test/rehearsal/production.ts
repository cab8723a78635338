/** Production on a real machine: made once, then nothing to change, and a change that shows exactly itself. */
import { readFileSync } from "node:fs";
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Agent, request } from "undici";
import { z } from "zod";
import { inGuest, lab, pulumi, REPO_DIR, client } from "../support/rehearsal-lab";

const MINUTE = 60_000;
const VM = 200;

const previewSchema = z.object({
  steps: z.array(
    z.object({
      op: z.string(),
      urn: z.string(),
      diffReasons: z.array(z.string()).nullish(),
      replaceReasons: z.array(z.string()).nullish(),
    }),
  ),
});

/** Steps of a preview that would change something. */
async function plannedChanges(cwd: string): Promise<Step[]> {
  const { stdout } = await pulumi(["preview", "-s", "prod", "--json"], cwd);
  return previewSchema.parse(JSON.parse(stdout)).steps.filter(({ op }) => op !== "same" && op !== "read");
}

const MINIFLUX = "docker:index/container:Container miniflux";

/** `<type> <name>` of the resources that change, each once. */
function namesOf(steps: readonly { readonly urn: string }[]): string[] {
  const names = steps.map(({ urn }) => {
    const [types = "", name = ""] = urn.split("::").slice(2);
    return `${types.split("$").at(-1) ?? ""} ${name}`;
  });
  return [...new Set(names)].sort();
}

type Step = z.infer<typeof previewSchema>["steps"][number];

function reasonsOf(steps: readonly Step[]): string[] {
  return steps.flatMap(({ diffReasons, replaceReasons }) => [...(diffReasons ?? []), ...(replaceReasons ?? [])]);
}

/** A project folder whose catalogue can be edited without touching the clone. */
async function copyProject(): Promise<string> {
  const dir = await mkdtemp(join(lab().dir, "edited-"));
  for (const name of ["stacks", "components", "services"]) {
    await cp(join(REPO_DIR, name), join(dir, name), { recursive: true });
  }
  for (const name of ["policy", "provider", "pve", "toolchain", "node_modules", "package.json", "tsconfig.json"]) {
    await symlink(join(REPO_DIR, name), join(dir, name));
  }
  for (const name of ["Pulumi.yaml", "Pulumi.prod.yaml", "Pulumi.drill.yaml"]) {
    await cp(join(lab().project, name), join(dir, name));
  }
  return dir;
}

async function replaceIn(file: string, from: string | RegExp, to: string): Promise<void> {
  const text = await readFile(file, "utf8");
  const changed = text.replace(from, to);
  if (changed === text) throw new Error(`${file} does not contain ${String(from)}`);
  await writeFile(file, changed);
}

export function productionTests(): void {
  test(
    "one update brings the machine and every service up",
    async () => {
      await pulumi(["up", "-s", "prod", "--yes"]);
      const containers = await inGuest(VM, "docker ps --format '{{.Names}} {{.Status}}'");
      for (const name of ["postgres", "miniflux", "reverse-proxy", "recovery-canary"]) {
        expect(containers).toMatch(new RegExp(`^${name} Up`, "m"));
      }
      const config = await client.get(`/nodes/pve/qemu/${VM}/config`, z.record(z.string(), z.unknown()));
      expect(config).toMatchObject({
        name: "docker",
        onboot: 1,
        agent: expect.stringContaining("enabled=1") as string,
      });
    },
    25 * MINUTE,
  );

  test(
    "readiness is bound to this machine: another one, with another MAC address, would be proved again",
    async () => {
      const { stdout } = await pulumi(["stack", "export", "-s", "prod"]);
      const exported = z.object({
        deployment: z.object({
          resources: z.array(
            z.object({ type: z.string(), inputs: z.looseObject({ vmGeneration: z.unknown().optional() }).optional() }),
          ),
        }),
      });
      const readiness = exported
        .parse(JSON.parse(stdout))
        .deployment.resources.find(({ type }) => type === "homelab:prod:Readiness");
      const { net0 } = await client.get(`/nodes/pve/qemu/${VM}/config`, z.looseObject({ net0: z.string() }));
      expect(net0).toContain(`virtio=${String(readiness?.inputs?.vmGeneration)}`);
    },
    MINUTE,
  );

  test(
    "the service answers under its name, through the proxy, with the recorded root",
    async () => {
      const ca = readFileSync(join(lab().project, "trust", "example.net-proxy-root.pem"));
      const dispatcher = new Agent({ connect: { ca } });
      const response = await request("https://rss.example.net/healthcheck", { dispatcher });
      expect([response.statusCode, await response.body.text()]).toEqual([200, "OK"]);
      await dispatcher.close();
    },
    MINUTE,
  );

  test(
    "a second update changes nothing",
    async () => {
      await pulumi(["up", "-s", "prod", "--yes", "--expect-no-changes"]);
    },
    5 * MINUTE,
  );

  test(
    "a refresh finds nothing that differs",
    async () => {
      await pulumi(["preview", "-s", "prod", "--refresh", "--expect-no-changes"]);
    },
    5 * MINUTE,
  );

  test(
    "a changed variable of one service shows as exactly that container, also when readiness changes too",
    async () => {
      const dir = await copyProject();
      try {
        await replaceIn(join(dir, "services", "miniflux.ts"), 'POLLING_FREQUENCY: "60"', 'POLLING_FREQUENCY: "61"');
        const alone = await plannedChanges(dir);
        expect(namesOf(alone)).toEqual([MINIFLUX]);
        expect(reasonsOf(alone)).toContain("envs");

        await replaceIn(join(dir, "Pulumi.prod.yaml"), /timeoutSeconds: \d+/, "timeoutSeconds: 899");
        const both = await plannedChanges(dir);
        expect(namesOf(both)).toEqual([MINIFLUX, "homelab:prod:Readiness docker-readiness"]);
        expect(reasonsOf(both.filter(({ urn }) => urn.includes("Container::miniflux")))).toContain("envs");
      } finally {
        await rm(dir, { recursive: true });
      }
    },
    5 * MINUTE,
  );
}
