import { type PluginName } from "./versions";

/**
 * Every resource type of a public provider that the stacks use, by plugin. `test/toolchain/parity.test.ts` compares each
 * with what the running plugin answers, and fails when a component uses one that isn't listed here.
 */
export const USED_RESOURCES = {
  proxmoxve: [
    "proxmoxve:index/vmLegacy:VmLegacy",
    "proxmoxve:download/file:File",
    "proxmoxve:storage/directory:Directory",
    "proxmoxve:storage/nfs:Nfs",
    "proxmoxve:backup/job:Job",
  ],
  docker: [
    "pulumi:providers:docker",
    "docker:index/remoteImage:RemoteImage",
    "docker:index/container:Container",
    "docker:index/network:Network",
    "docker:index/volume:Volume",
  ],
  cloudflare: ["cloudflare:index/dnsRecord:DnsRecord"],
} as const satisfies Record<PluginName, readonly string[]>;
