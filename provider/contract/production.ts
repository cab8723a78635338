/** Inputs and outputs of what prod needs and no public provider has: readiness, proxy configuration, recorded root. */
import { z } from "zod";
import { vmIdSchema } from "./run";

/** How to reach the guest by SSH. The key is a file of the operator's; its content never becomes an input. */
export const sshTargetSchema = z.strictObject({
  address: z.union([z.ipv4(), z.ipv6()]),
  /** Absent: 22. Another one must also stand in the Docker provider's host. */
  port: z.number().int().min(1).max(65_535).optional(),
  user: z.string().min(1),
  /** Path of the private key file; `~` is the operator's home. */
  privateKeyFile: z.string().min(1),
  /** Known-hosts file that readiness writes and that the Docker provider's ssh reads. */
  knownHostsFile: z.string().min(1),
});
export type SshTarget = z.infer<typeof sshTargetSchema>;

/**
 * Inputs of `homelab:prod:Readiness`: the VM is usable when SSH answers with the host key that the guest agent
 * reported, cloud-init is done and the Docker engine answers. Installs what the image lacks.
 */
export const readinessInputsSchema = z.strictObject({
  node: z.string().min(1),
  vmId: vmIdSchema,
  ssh: sshTargetSchema,
  /** Debian packages that must be there; missing ones are installed with apt over SSH. */
  packages: z.array(z.string()),
  timeoutSeconds: z.number().positive(),
  /** Changes whenever the VM was replaced, so that readiness is proved again. */
  vmGeneration: z.string(),
});
export type ReadinessInputs = z.infer<typeof readinessInputsSchema>;

/** Outputs of `Readiness`. */
export interface ReadinessOutputs extends ReadinessInputs {
  /** Lines `<type> <base64>`, as read through the guest agent. */
  hostKeys: string[];
  /** Docker server version. */
  engineVersion: string;
}

/**
 * Inputs of `homelab:prod:ProxyConfig`: the Caddyfile of the running proxy container, loaded without replacing it.
 * An invalid file is refused by Caddy before it takes effect and the old one stays.
 */
export const proxyConfigInputsSchema = z.strictObject({
  ssh: sshTargetSchema,
  container: z.string().min(1),
  /** Whole Caddyfile; not secret, shown in previews. */
  caddyfile: z.string().min(1),
  /** Id of the container; another container gets the file again. */
  containerId: z.string(),
  timeoutSeconds: z.number().positive(),
});
export type ProxyConfigInputs = z.infer<typeof proxyConfigInputsSchema>;

/**
 * Inputs of `homelab:prod:RecordedRoot`: copies the proxy's public root certificate into a file of the repository,
 * so that a drill can verify the restored proxy's chain against something that did not come out of the backup.
 */
export const recordedRootInputsSchema = z.strictObject({
  ssh: sshTargetSchema,
  container: z.string().min(1),
  containerId: z.string(),
  /** Path in the container, e.g. `/data/caddy/pki/authorities/local/root.crt`. */
  certificatePath: z.string().min(1),
  /** Absolute path of the file that is written (public certificate, PEM). */
  file: z.string().min(1),
  timeoutSeconds: z.number().positive(),
});
export type RecordedRootInputs = z.infer<typeof recordedRootInputsSchema>;

/** Outputs of `RecordedRoot`. */
export interface RecordedRootOutputs extends RecordedRootInputs {
  /** SHA-256 fingerprint of the certificate, hex. */
  fingerprint: string;
}

/** Arguments of the invoke `homelab:prod:lookupContainers`. */
export const lookupContainersArgsSchema = z.strictObject({
  ssh: sshTargetSchema,
  timeoutSeconds: z.number().positive(),
});
export type LookupContainersArgs = z.infer<typeof lookupContainersArgsSchema>;

/** A container of prod's, by its own labels and Docker's own record. */
export const deployedContainerSchema = z.strictObject({
  service: z.string(),
  containerId: z.string(),
  /** Image reference, with its digest where it was locked. */
  image: z.string(),
  /** Digest of the configuration, `sha256:<hex>`. */
  configuration: z.string(),
  /** ISO 8601 UTC by the VM's clock. */
  createdAt: z.iso.datetime(),
});
export type DeployedContainer = z.infer<typeof deployedContainerSchema>;

/** Answer of `lookupContainers`. */
export const deployedContainersSchema = z.strictObject({ containers: z.array(deployedContainerSchema) });
