/** Production: the Docker VM, its services, the way in, and the backup of it all. */
import type * as pulumi from "@pulumi/pulumi";
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

/** Declares everything of stack kind `prod`. Returns the stack's outputs. */
export function prod(
  config: ProdConfig,
  catalogue: readonly ServiceSpec[],
  secrets: Readonly<Record<string, pulumi.Output<string>>>,
): Record<string, unknown> {
  const { node, dockerVm, backup, readiness } = config;
  const address = dockerVmAddress(config);
  const ssh: SshTarget = {
    address,
    user: dockerVm.user,
    privateKeyFile: dockerVm.sshPrivateKeyFile,
    knownHostsFile: config.files.knownHosts,
  };

  const vm = new DockerVm("docker-vm", {
    node,
    vmId: dockerVm.vmId,
    hostName: dockerVm.name,
    bridge: dockerVm.bridge,
    ...(dockerVm.vlanId === undefined ? {} : { vlanId: dockerVm.vlanId }),
    address: dockerVm.address,
    gateway: dockerVm.gateway,
    nameservers: dockerVm.nameservers,
    storage: dockerVm.storage,
    cores: dockerVm.cores,
    memoryMiB: dockerVm.memoryMiB,
    diskGiB: dockerVm.diskGiB,
    user: dockerVm.user,
    sshAuthorizedKey: dockerVm.sshAuthorizedKey,
    cloudImage: config.cloudImage,
  });
  const backupPlan = new BackupPlan("backup", {
    ...backup,
    vm: vm.vm,
    vmId: dockerVm.vmId,
    storage: config.backupStorage,
    source: backup.storage,
  });
  const engine = new DockerEngine("docker", {
    node,
    vmId: dockerVm.vmId,
    ssh,
    packages: readiness.packages,
    timeoutSeconds: readiness.timeoutSeconds,
    vmGeneration: vm.generation,
  });
  const services = createServices(config, catalogue, secrets, engine);
  createWayIn(config, catalogue, services, ssh);

  return {
    address,
    urls: catalogue.flatMap((spec) => hostNameOf(spec, config.zone) ?? []).map((hostName) => `https://${hostName}/`),
    backupJob: backupPlan.jobId,
  };
}

/** In start order, each after the services that it depends on. */
function createServices(
  config: ProdConfig,
  catalogue: readonly ServiceSpec[],
  secrets: Readonly<Record<string, pulumi.Output<string>>>,
  engine: DockerEngine,
): Map<string, Service> {
  const services = new Map<string, Service>();
  for (const spec of catalogue) {
    const hostName = hostNameOf(spec, config.zone);
    const dependencies = (spec.dependsOn ?? []).flatMap((name) => services.get(name) ?? []);
    const service = new Service(
      spec.name,
      {
        spec,
        ...(hostName === undefined ? {} : { hostName }),
        networkName: engine.networkName,
        secrets,
        healthyTimeoutSeconds: config.readiness.containerTimeoutSeconds,
        after: [...engine.ready, ...dependencies.map(({ container }) => container)],
      },
      { providers: { docker: engine.provider } },
    );
    services.set(spec.name, service);
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
    ...(config.dns.publicAddress === undefined ? {} : { publicAddress: config.dns.publicAddress }),
  });
}
