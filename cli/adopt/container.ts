/** What a container that runs was made from, in the form in which the stacks declare one. Pure. */
import { z } from "zod";
import type { Inputs } from "./plan";

const textMap = z.record(z.string(), z.string()).nullish();

/** Of the answer of `docker container inspect`: what the Docker provider does not read back. */
export const inspectSchema = z.object({
  Id: z.string(),
  Name: z.string(),
  /** Image id, `sha256:…`. */
  Image: z.string(),
  Config: z.object({
    Hostname: z.string(),
    Env: z.array(z.string()).nullish(),
    Labels: textMap,
    Healthcheck: z.unknown(),
  }),
  HostConfig: z.object({
    PortBindings: z
      .record(z.string(), z.array(z.object({ HostIp: z.string().optional(), HostPort: z.string() })).nullable())
      .nullish(),
  }),
  Mounts: z.array(
    z.object({
      Type: z.string(),
      Name: z.string().optional(),
      Source: z.string().optional(),
      Destination: z.string(),
      RW: z.boolean(),
    }),
  ),
  NetworkSettings: z.object({ Networks: z.record(z.string(), z.object({ Aliases: z.array(z.string()).nullish() })) }),
});
export type InspectedContainer = z.infer<typeof inspectSchema>;

/** Of the answer of `docker image inspect`: what a container has without anyone having asked for it. */
export const imageSchema = z.object({
  Id: z.string(),
  Config: z.object({
    Env: z.array(z.string()).nullish(),
    Labels: textMap,
    Volumes: z.record(z.string(), z.unknown()).nullish(),
  }),
});
export type InspectedImage = z.infer<typeof imageSchema>;

/**
 * The planned inputs of a container with everything that the provider does not read back taken from the container itself, so that
 * the next preview shows what really differs and nothing else.
 *
 * @param declared names of the variables that the code sets; others that the image does not bring count as set too
 */
export function realInputs(
  planned: Inputs,
  { Image, Id, Config, HostConfig, Mounts, NetworkSettings }: InspectedContainer,
  image: InspectedImage,
  declared: ReadonlySet<string>,
): Inputs {
  const imageEnv = new Set(image.Config.Env ?? []);
  const envs = (Config.Env ?? []).filter((line) => declared.has(line.replace(/=.*$/s, "")) || !imageEnv.has(line));
  const { healthcheck, ...rest } = planned;
  const published = Object.keys(HostConfig.PortBindings ?? {}).length > 0;
  return {
    ...rest,
    // Docker has a health check of an image's own too, which no one declares.
    ...(healthcheck === undefined || Config.Healthcheck === undefined || Config.Healthcheck === null
      ? {}
      : { healthcheck }),
    image: Image,
    envs: envs.sort(),
    labels: labelsOf(Config.Labels ?? {}, image.Config.Labels ?? {}),
    volumes: volumesOf(Mounts, image),
    networksAdvanced: networksOf(NetworkSettings.Networks, [Id.slice(0, 12), Config.Hostname]),
    // The provider reads the ports back where there are any.
    ports: published && isEmpty(planned["ports"]) ? portsOf(HostConfig.PortBindings ?? {}) : planned["ports"],
  };
}

function isEmpty(value: unknown): boolean {
  return !Array.isArray(value) || value.length === 0;
}

function labelsOf(labels: Readonly<Record<string, string>>, ofImage: Readonly<Record<string, string>>): Inputs[] {
  return Object.entries(labels)
    .filter(([label, value]) => ofImage[label] !== value)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([label, value]) => ({ __defaults: [], label, value }));
}

/** Without the nameless volumes that Docker makes for an image's own `VOLUME`. */
function volumesOf(mounts: InspectedContainer["Mounts"], image: InspectedImage): Inputs[] {
  const ofImage = Object.keys(image.Config.Volumes ?? {});
  return mounts
    .filter(({ Name = "", Destination }) => !(/^[0-9a-f]{64}$/.test(Name) && ofImage.includes(Destination)))
    .sort((a, b) => (a.Destination < b.Destination ? -1 : 1))
    .map(({ Type, Name, Source, Destination, RW }) => ({
      __defaults: [],
      containerPath: Destination,
      ...(Type === "volume" ? { volumeName: Name } : { hostPath: Source }),
      ...(RW ? {} : { readOnly: true }),
    }));
}

/** Docker before version 25 lists the short id among the aliases. */
function networksOf(
  networks: InspectedContainer["NetworkSettings"]["Networks"],
  ownNames: readonly string[],
): Inputs[] {
  return Object.entries(networks)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, { Aliases }]) => ({
      __defaults: [],
      aliases: [...new Set(Aliases ?? [])].filter((alias) => !ownNames.includes(alias)).sort(),
      name,
    }));
}

function portsOf(bindings: NonNullable<InspectedContainer["HostConfig"]["PortBindings"]>): Inputs[] {
  return Object.entries(bindings).flatMap(([port, hosts]) => {
    const [internal, protocol = "tcp"] = port.split("/");
    return (hosts ?? []).map(({ HostIp = "", HostPort }) => ({
      __defaults: [],
      internal: Number(internal),
      external: Number(HostPort),
      protocol,
      ip: HostIp === "" ? "0.0.0.0" : HostIp,
    }));
  });
}
