/** Finds on the Docker VM what planned resources stand for. Only reads. */
import { join } from "node:path";
import { z } from "zod";
import type { SshTarget } from "../../provider/contract/production";
import { expandHome } from "../../provider/files";
import { knownHostKeys, knownHostName, parsePublicKeys, writeKnownHosts } from "../../provider/known-hosts";
import { connectToKnownHost, quote, type SshConnection } from "../../provider/ssh";
import type { PveClient } from "../../pve/client";
import { runInGuest } from "../../pve/nodes/agent";
import { loadCatalogue } from "../../services/catalogue";
import { dockerVmAddress, type ProdConfig } from "../../stacks/config";
import { CliError, causeOf } from "../errors";
import { imageSchema, type InspectedContainer, type InspectedImage, inspectSchema, realInputs } from "./container";
import { nameOf, type PlannedResource, textInput } from "./plan";
import type { Locate } from "./proxmox";
import type { Located } from "./state";

export interface DockerLookupArgs {
  readonly client: PveClient;
  readonly config: ProdConfig;
  readonly projectDir: string;
  readonly plan: readonly PlannedResource[];
  readonly signal: AbortSignal;
}

const CONTAINER = "docker:index/container:Container";
const IMAGE = "docker:index/remoteImage:RemoteImage";
const VOLUME = "docker:index/volume:Volume";
const NETWORK = "docker:index/network:Network";

const ANSWER_MS = 120_000;

/** Lookups that find nothing: what runs in the VM is left out. */
export function withoutDocker(): Readonly<Record<string, Locate>> {
  return Object.fromEntries([CONTAINER, IMAGE, VOLUME, NETWORK].map((type) => [type, async () => undefined]));
}

/** Asks the engine once for everything and gives lookups by resource type. */
export async function dockerLookups(args: DockerLookupArgs): Promise<Readonly<Record<string, Locate>>> {
  const engine = await askEngine(args);
  const variables = new Map(
    loadCatalogue(join(args.projectDir, "services")).map(({ name, environment = {} }) => [
      name,
      new Set(Object.keys(environment)),
    ]),
  );
  return {
    [CONTAINER]: async (planned) => locateContainer(planned, engine, variables.get(nameOf(planned)) ?? new Set()),
    [IMAGE]: async (planned) => {
      const name = textInput(planned, "name");
      const id = engine.imageIds.get(name);
      return id === undefined ? undefined : { id: `${id}${name}` };
    },
    [VOLUME]: async (planned) => {
      const name = textInput(planned, "name");
      return engine.volumes.has(name) ? { id: name } : undefined;
    },
    [NETWORK]: async (planned) => locateNetwork(textInput(planned, "name"), engine),
  };
}

interface Engine {
  readonly containers: readonly InspectedContainer[];
  /** By id. */
  readonly images: ReadonlyMap<string, InspectedImage>;
  /** Image ids by the reference that the plan names. */
  readonly imageIds: ReadonlyMap<string, string>;
  readonly volumes: ReadonlySet<string>;
  readonly networks: readonly { readonly Id: string; readonly Name: string }[];
}

function locateContainer(
  planned: PlannedResource,
  { containers, images }: Engine,
  declared: ReadonlySet<string>,
): Located | undefined {
  const name = textInput(planned, "name");
  const container = containers.find(({ Name }) => Name === `/${name}`);
  if (container === undefined) return undefined;
  const image = images.get(container.Image);
  if (image === undefined) {
    throw new CliError(
      `Unable to adopt container ${name}: the engine does not have its image ${container.Image} any more. Pull it again.`,
    );
  }
  return { id: container.Id, inputs: realInputs(planned.inputs ?? {}, container, image, declared), secret: ["envs"] };
}

function locateNetwork(name: string, { networks }: Engine): Located | undefined {
  const [network, ...others] = networks.filter(({ Name }) => Name === name);
  if (others.length > 0) {
    throw new CliError(
      `Unable to adopt Docker network ${name}: there are ${others.length + 1} of this name. Remove all but the one in use.`,
    );
  }
  return network === undefined ? undefined : { id: network.Id };
}

const networksSchema = z.array(z.object({ Id: z.string(), Name: z.string() }));

async function askEngine({ client, config, plan, signal }: DockerLookupArgs): Promise<Engine> {
  const { dockerVm, files, node } = config;
  const ssh: SshTarget = {
    address: dockerVmAddress(config),
    user: dockerVm.user,
    privateKeyFile: dockerVm.sshPrivateKeyFile,
    knownHostsFile: files.knownHosts,
  };
  try {
    await learnHostKeys(client, { node, vmId: dockerVm.vmId }, ssh, signal);
    await using connection = await connectToKnownHost(ssh, signal);
    const ask = (command: string): Promise<string> => answerOf(connection, command, signal);
    const containers = z
      .array(inspectSchema)
      .parse(await inspectAll(ask, "docker container ls --all --quiet --no-trunc", "docker container inspect"));
    const images = z.array(imageSchema).parse(
      await inspectIds(
        ask,
        "docker image inspect",
        containers.map(({ Image }) => Image),
      ),
    );
    const networks = networksSchema.parse(
      await inspectAll(ask, "docker network ls --quiet --no-trunc", "docker network inspect"),
    );
    const volumes = (await ask("docker volume ls --quiet")).split("\n").filter(Boolean);
    return {
      containers,
      images: new Map(images.map((image) => [image.Id, image])),
      imageIds: await imageIds(ask, plan),
      volumes: new Set(volumes),
      networks,
    };
  } catch (error) {
    signal.throwIfAborted();
    throw new CliError(
      `Unable to look at the containers of VM ${dockerVm.vmId}: ${causeOf(error)} ` +
        "Start the VM and make it reachable, or leave out what runs in it with --no-docker.",
      { cause: error },
    );
  }
}

type Ask = (command: string) => Promise<string>;

async function inspectAll(ask: Ask, list: string, inspect: string): Promise<unknown> {
  return inspectIds(ask, inspect, (await ask(list)).split("\n").filter(Boolean));
}

async function inspectIds(ask: Ask, inspect: string, ids: readonly string[]): Promise<unknown> {
  const each = [...new Set(ids)];
  return each.length === 0 ? [] : JSON.parse(await ask(`${inspect} ${each.map(quote).join(" ")}`));
}

/** Ids of the planned images that the engine has. */
async function imageIds(ask: Ask, plan: readonly PlannedResource[]): Promise<Map<string, string>> {
  const names = [...new Set(plan.filter(({ type }) => type === IMAGE).map((planned) => textInput(planned, "name")))];
  if (names.length === 0) return new Map();
  const loop = `for i in ${names.map(quote).join(" ")}; do docker image inspect --format '{{.Id}}' "$i" 2>/dev/null || echo; done`;
  const ids = (await ask(loop)).split("\n");
  return new Map(names.flatMap((name, index) => (ids[index] ? [[name, ids[index]]] : [])));
}

async function answerOf(connection: SshConnection, command: string, signal: AbortSignal): Promise<string> {
  const { exitCode, stdout, stderr } = await connection.run(command, { timeoutMs: ANSWER_MS, signal });
  if (exitCode === 0) return stdout;
  throw new Error(`"${command.slice(0, 60)}" ended with code ${exitCode}: ${stderr.trim()}.`);
}

/** Where the known-hosts file does not have the VM, the guest agent tells its keys, which an impostor in the network can't. */
async function learnHostKeys(
  client: PveClient,
  target: { readonly node: string; readonly vmId: number },
  ssh: SshTarget,
  signal: AbortSignal,
): Promise<void> {
  const file = expandHome(ssh.knownHostsFile);
  if ((await knownHostKeys(file, knownHostName(ssh))).length > 0) return;
  const command = ["sh", "-c", "cat /etc/ssh/ssh_host_*_key.pub"];
  const { stdout } = await runInGuest(client, target, command, { timeoutMs: ANSWER_MS, signal });
  const keys = parsePublicKeys(stdout);
  if (keys.length > 0) await writeKnownHosts(file, knownHostName(ssh), keys);
}
