/** Production: the Docker VM, its services, the way in, and the backup of it all. */
import * as pulumi from "@pulumi/pulumi";
import { BackupPlan } from "../components/backup-plan";
import { hostNameOf } from "../components/checks-from-catalogue";
import { DnsRecords } from "../components/dns-records";
import { DockerEngine } from "../components/docker-engine";
import { DockerVm } from "../components/docker-vm";
import { ReverseProxy } from "../components/reverse-proxy";
import { Service } from "../components/service";
import type { SshTarget } from "../provider/contract/production";
import type { ServiceSpec } from "../services/spec";
import { dockerVmAddress, rootCertificateFile, type ProdConfig } from "./config";
import { activeConsents } from "./consent";
import type { DeploymentLog } from "./deployments";
import { lockedReference, unlockedImages, type ImagesLock } from "./images-lock";
import { sshTarget } from "./ssh-target";

/** What production is made from besides its configuration. */
export interface ProdParts {
  readonly catalogue: readonly ServiceSpec[];
  /** Values by key. Secret. */
  readonly secrets: Readonly<Record<string, pulumi.Output<string>>>;
  readonly lock: ImagesLock;
  /** Takes down which containers there are. */
  readonly deployments: Pick<DeploymentLog, "record">;
  /** Looks for archives of a VM that is to be made, once the storage is there. @throws RunError. Absent: nothing to look for. */
  readonly lookAgain?: () => Promise<unknown>;
}

/** Declares everything of stack kind `prod`. Returns the stack's outputs. */
export function prod(config: ProdConfig, parts: ProdParts): Record<string, unknown> {
  const { catalogue } = parts;
  const { node, dockerVm, backup, readiness } = config;
  liftProtection(config);
  const address = dockerVmAddress(config);
  const ssh = sshTarget(config);

  const backupPlan: BackupPlan = new BackupPlan("backup", {
    ...backup,
    vm: () => vm.vm,
    vmId: dockerVm.vmId,
    storage: config.backupStorage,
    source: backup.storage,
  });
  const vm: DockerVm = new DockerVm("docker-vm", {
    node,
    vmId: dockerVm.vmId,
    // A storage that is only being made may turn out to hold archives: then no empty VM takes the place of the lost one.
    hostName: parts.lookAgain
      ? backupPlan.storageId.apply(async () => {
          await parts.lookAgain?.();
          return dockerVm.name;
        })
      : dockerVm.name,
    pool: dockerVm.pool,
    bridge: dockerVm.bridge,
    ...(dockerVm.vlanId === undefined ? {} : { vlanId: dockerVm.vlanId }),
    address: dockerVm.address,
    gateway: dockerVm.gateway,
    ...(dockerVm.ipv6 === undefined ? {} : { ipv6: dockerVm.ipv6 }),
    nameservers: dockerVm.nameservers,
    storage: dockerVm.storage,
    cores: dockerVm.cores,
    memoryMiB: dockerVm.memoryMiB,
    diskGiB: dockerVm.diskGiB,
    dataDisks: dockerVm.dataDisks,
    user: dockerVm.user,
    sshAuthorizedKey: dockerVm.sshAuthorizedKey,
    cloudImage: config.cloudImage,
  });
  const engine = new DockerEngine("docker", {
    node,
    vmId: dockerVm.vmId,
    ssh,
    packages: readiness.packages,
    timeoutSeconds: readiness.timeoutSeconds,
    vmGeneration: vm.generation,
  });
  const services = createServices(config, parts, engine);
  warnOfUnlocked(parts);
  createWayIn(config, catalogue, services, ssh);

  return {
    address,
    urls: catalogue.flatMap((spec) => hostNameOf(spec, config.zone) ?? []).map((hostName) => `https://${hostName}/`),
    backupJob: backupPlan.jobId,
  };
}

/** What an unexpired consent names may be replaced or deleted by this update; all else keeps its protection. */
function liftProtection({ consent }: ProdConfig): void {
  const lifted = new Map(
    activeConsents(consent, new Date(), "replace", "delete").map((given) => [given.resource, given] as const),
  );
  if (lifted.size === 0) return;
  pulumi.runtime.registerStackTransformation(({ name, props, opts }) => {
    const given = lifted.get(name);
    if (given === undefined || opts.protect !== true) return undefined;
    void pulumi.log.warn(`${name} is not protected until ${given.until}: ${given.reason}`);
    return { props, opts: { ...opts, protect: false } };
  });
}

/** In start order, each after the services that it depends on. */
function createServices(
  config: ProdConfig,
  { catalogue, secrets, lock, deployments }: ProdParts,
  engine: DockerEngine,
): Map<string, Service> {
  const services = new Map<string, Service>();
  for (const spec of catalogue) {
    const hostName = hostNameOf(spec, config.zone);
    const dependencies = (spec.dependsOn ?? []).flatMap((name) => services.get(name) ?? []);
    const image = lockedReference(spec.image, lock);
    const service = new Service(
      spec.name,
      {
        spec,
        image,
        ...(hostName === undefined ? {} : { hostName }),
        networkName: engine.networkName,
        ipv6: config.dockerVm.ipv6 !== undefined,
        secrets,
        healthyTimeoutSeconds: config.readiness.containerTimeoutSeconds,
        after: [...engine.ready, ...dependencies.map(({ container }) => container)],
      },
      { providers: { docker: engine.provider } },
    );
    services.set(spec.name, service);
    deployments.record(spec.name, service.containerId);
  }
  return services;
}

/** Proxy configuration and DNS records from the catalogue's routes. */
function createWayIn(
  config: ProdConfig,
  catalogue: readonly ServiceSpec[],
  services: ReadonlyMap<string, Service>,
  ssh: SshTarget,
): void {
  const routes = catalogue.flatMap((spec) => {
    const hostName = hostNameOf(spec, config.zone);
    if (!spec.route || hostName === undefined) return [];
    return [{ hostName, service: spec.name, port: spec.route.containerPort, exposure: spec.route.exposure }];
  });
  const proxy = catalogue.find(({ reverseProxy }) => reverseProxy);
  const proxyService = proxy && services.get(proxy.name);
  if (proxy?.reverseProxy && proxyService) {
    new ReverseProxy("way-in", {
      service: proxyService,
      container: proxy.name,
      routes,
      ssh,
      rootCertificatePath: proxy.reverseProxy.rootCertificatePath,
      rootCertificateFile: rootCertificateFile(config),
      timeoutSeconds: config.readiness.containerTimeoutSeconds,
    });
  }
  new DnsRecords("dns", {
    zoneId: config.dns.zoneId,
    routes,
    lanAddress: dockerVmAddress(config),
    ...(config.dockerVm.ipv6 === undefined ? {} : { lanAddress6: config.dockerVm.ipv6.address.replace(/\/.*$/, "") }),
    ...(config.dns.publicAddress === undefined ? {} : { publicAddress: config.dns.publicAddress }),
  });
}

/** A moved tag would make the restored and the rebuilt service differ without a line of code having changed. */
function warnOfUnlocked({ catalogue, lock }: ProdParts): void {
  const images = unlockedImages(catalogue, lock);
  if (images.length === 0) return;
  void pulumi.log.warn(
    `${images.length === 1 ? "1 image is" : `${images.length} images are`} not locked to a digest: ${images.join(", ")}. ` +
      "Run: npm run homelab -- lock",
  );
}
