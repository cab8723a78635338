import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createProvider, type StoppableProvider } from "../../provider/plugin";
import { LOOKUP_CONTAINERS, PROD_TOKENS } from "../../provider/tokens";
import { FakePve, NODE } from "./support/fake-pve";
import { type FakeSshServer, newKeyPair, type ShellAnswer, startSshServer } from "./support/ssh-server";

type Bag = Record<string, unknown>;

let folder: string;
let pve: FakePve;
let provider: StoppableProvider;
let server: FakeSshServer;
let shell: (command: string, input: string) => ShellAnswer;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "homelab-prod-"));
  await writeFile(join(folder, "key"), newKeyPair().private, { mode: 0o600 });
  pve = new FakePve();
  pve.vms.set(200, { config: { name: "docker" }, status: "running" });
  provider = createProvider({ client: pve.client() });
  shell = readyVm;
  server = await startSshServer((command, input) => shell(command, input));
  pve.guest = () => ({ exitCode: 0, stdout: `${server.hostKey} root@docker\n` });
});
afterEach(async () => {
  await server[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

function readyVm(command: string): ShellAnswer {
  if (command.startsWith("dpkg-query")) return { exitCode: 0, stdout: "docker.io installed\ncurl installed\n" };
  if (command.startsWith("docker version")) return { exitCode: 0, stdout: "20.10.24\n" };
  return { exitCode: 0 };
}

const urn = (token: string): string => `urn:pulumi:prod::homelab::${token}::x`;
const ssh = (): Bag => ({
  ...{ address: "127.0.0.1", port: server.port, user: "admin" },
  ...{ privateKeyFile: join(folder, "key"), knownHostsFile: join(folder, "known_hosts") },
});

async function create(token: string, inputs: Bag): Promise<Bag> {
  expect((await provider.check?.(urn(token), {}, inputs))?.failures).toEqual([]);
  return (await provider.create?.(urn(token), inputs))?.outs as Bag;
}

describe("readiness", () => {
  const inputs = (more: Bag = {}): Bag => ({
    ...{ node: NODE, vmId: 200, ssh: ssh(), packages: ["docker.io", "curl"], timeoutSeconds: 10, vmGeneration: "a" },
    ...more,
  });
  const outputs = async (): Promise<Bag> => create(PROD_TOKENS.readiness, inputs());

  test("proves the host key through the agent and writes the known-hosts file", async () => {
    expect(await outputs()).toMatchObject({ hostKeys: [server.hostKey], engineVersion: "20.10.24" });
    const knownHosts = await readFile(join(folder, "known_hosts"), "utf8");
    expect(knownHosts).toBe(`[127.0.0.1]:${server.port} ${server.hostKey}\n`);
    expect(server.commands.join("\n")).not.toContain("apt-get");
    expect(server.commands.join("\n")).toContain("cloud-init status --wait");
  });

  test("installs only what is missing", async () => {
    await create(PROD_TOKENS.readiness, inputs({ packages: ["docker.io", "curl", "openssl"] }));
    const install = server.commands.filter((command) => command.includes("apt-get"));
    expect(install).toHaveLength(1);
    expect(install[0]).toMatch(/install --yes --no-install-recommends '\\''openssl'\\''/);
  });

  test("another machine at the address is never given a chance", async () => {
    pve.guest = () => ({ exitCode: 0, stdout: newKeyPair().public });
    await expect(create(PROD_TOKENS.readiness, inputs({ timeoutSeconds: 1 }))).rejects.toThrow(
      /waited for SSH; last seen: Unable to connect to admin@127\.0\.0\.1 by SSH: it has the unexpected host key ecdsa-sha2-nistp256/,
    );
    expect(server.commands).toEqual([]);
  });

  test("a first contact without an agent is proved afterwards", async () => {
    pve.agentAnswers = false;
    shell = (command) => {
      if (command.includes("systemctl")) pve.agentAnswers = true;
      return readyVm(command);
    };
    expect(await outputs()).toMatchObject({ hostKeys: [server.hostKey] });
    pve.agentAnswers = false;
    pve.guest = () => ({ exitCode: 0, stdout: newKeyPair().public });
    await expect(outputs()).rejects.toThrow("Another machine answers at this address");
  });

  test("a failed first boot and a failed installation say what the VM said", async () => {
    shell = (command) =>
      command.includes("cloud-init") ? { exitCode: 1, stdout: "status: error\nno datasource" } : readyVm(command);
    await expect(outputs()).rejects.toThrow("cloud-init failed: status: error no datasource");
    shell = (command) =>
      command.includes("apt-get") ? { exitCode: 100, stderr: "E: Unable to locate package" } : readyVm(command);
    await expect(create(PROD_TOKENS.readiness, inputs({ packages: ["nope"] }))).rejects.toThrow(
      "Unable to install nope in the VM: E: Unable to locate package",
    );
  });

  test("a missing known-hosts file is written again from the state and is no change; another key is", async () => {
    const state = await outputs();
    await rm(join(folder, "known_hosts"));
    const diff = async (): Promise<unknown> => provider.diff?.("pve/200", urn(PROD_TOKENS.readiness), state, inputs());
    expect(await diff()).toMatchObject({ changes: false });
    expect(await readFile(join(folder, "known_hosts"), "utf8")).toContain(server.hostKey);
    await writeFile(join(folder, "known_hosts"), `[127.0.0.1]:${server.port} ${newKeyPair().public}\n`);
    expect(await diff()).toMatchObject({ changes: true, replaces: [] });
  });
});

describe("the containers on the Docker VM", () => {
  const lookup = async (): Promise<unknown> => provider.invoke?.(LOOKUP_CONTAINERS, { ssh: ssh(), timeoutSeconds: 5 });

  beforeEach(async () => writeFile(join(folder, "known_hosts"), `[127.0.0.1]:${server.port} ${server.hostKey}\n`));

  test("are told by their own labels and by when Docker made them; those without labels are left out", async () => {
    const stdout =
      "web\tc1\tnginx:1@sha256:a\tsha256:b\t2026-11-20T03:00:00.123456789Z\nold\tc2\t\t\t2026-11-20T03:00:00Z\n";
    shell = () => ({ exitCode: 0, stdout });
    expect(await lookup()).toEqual({
      outputs: {
        containers: [
          {
            ...{ service: "web", containerId: "c1", image: "nginx:1@sha256:a", configuration: "sha256:b" },
            createdAt: "2026-11-20T03:00:00.123Z",
          },
        ],
      },
    });
    expect(server.commands).toHaveLength(1);
  });

  test("one that is removed between the list and the look is left out, which is no error", async () => {
    const stdout = "web\tc1\tnginx:1\tsha256:b\t2026-11-20T03:00:00Z\n";
    shell = () => ({ exitCode: 1, stdout, stderr: "Error: No such container: c0\nError: No such container: c2\n" });
    expect(await lookup()).toMatchObject({ outputs: { containers: [{ service: "web" }] } });
  });

  test("a Docker that does not answer says so", async () => {
    shell = () => ({ exitCode: 1, stderr: "Cannot connect to the Docker daemon" });
    await expect(lookup()).rejects.toThrow(
      "Unable to list the containers on 127.0.0.1: Cannot connect to the Docker daemon. See systemctl status docker on the VM.",
    );
  });
});

describe("proxy configuration", () => {
  const inputs = (more: Bag = {}): Bag => ({
    ...{ ssh: ssh(), container: "proxy", caddyfile: ":80 {\n}\n", containerId: "abc", timeoutSeconds: 5 },
    ...more,
  });

  beforeEach(async () => writeFile(join(folder, "known_hosts"), `[127.0.0.1]:${server.port} ${server.hostKey}\n`));

  test("sends the file to Caddy in the running container", async () => {
    let received = "";
    shell = (_command, input) => {
      received = input;
      return { exitCode: 0 };
    };
    await create(PROD_TOKENS.proxyConfig, inputs());
    expect(received).toBe(":80 {\n}\n");
    expect(server.commands[0]).toMatch(/^docker exec -i 'proxy' sh -c '/);
  });

  test("a file that Caddy refuses names the property and Caddy's words", async () => {
    shell = () => ({ exitCode: 41, stderr: "INFO using config\nError: adapting config: unknown directive 'x'" });
    await expect(create(PROD_TOKENS.proxyConfig, inputs())).rejects.toThrow(
      /the property caddyfile for proxy: Caddy refuses it: .*unknown directive 'x'/,
    );
  });

  test("a change of the file is an update in place; drift is seen by refresh", async () => {
    const state = await create(PROD_TOKENS.proxyConfig, inputs());
    expect(
      await provider.diff?.("proxy", urn(PROD_TOKENS.proxyConfig), state, inputs({ caddyfile: "b" })),
    ).toMatchObject({ changes: true, replaces: [] });
    shell = () => ({ exitCode: 0, stdout: "changed by hand" });
    expect(await provider.read?.("proxy", urn(PROD_TOKENS.proxyConfig), state)).toMatchObject({
      props: { caddyfile: "changed by hand" },
    });
  });

  test("a host that readiness has not proved is not spoken to", async () => {
    await rm(join(folder, "known_hosts"));
    await expect(create(PROD_TOKENS.proxyConfig, inputs())).rejects.toThrow("has no host key of it. Bring prod up");
  });

  test("a container that never runs is said to be", async () => {
    shell = () => ({ exitCode: 1, stderr: "Error response from daemon: Container abc is not running" });
    await expect(create(PROD_TOKENS.proxyConfig, inputs({ timeoutSeconds: 0.2 }))).rejects.toThrow(
      "Unable to ask container proxy on 127.0.0.1: Error response from daemon: Container abc is not running",
    );
  });
});
