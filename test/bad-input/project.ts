/** A small valid project as an operator writes it, and what the checks say when one place of it is wrong. */
import { parse } from "yaml";
import { parseCatalogue } from "../../services/catalogue";
import { parseConfig } from "../../stacks/config";
import { placeProblems } from "../../stacks/config-places";
import { ConfigError } from "../../stacks/config-problems";
import { readRawConfig } from "../../stacks/raw-config";

export const PROJECT = `name: homelab
runtime: nodejs
config:
  homelab:node:
    value: pve
  homelab:zone:
    value: example.net
  homelab:dockerVm:
    value:
      vmId: 200
      name: docker
      bridge: vmbr0
      address: 192.168.20.200/24
      gateway: 192.168.20.1
      nameservers: [192.168.20.1]
      storage: local-lvm
      cores: 2
      memoryMiB: 2048
      diskGiB: 16
      user: homelab
      sshAuthorizedKey: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEf7ap2n21p operator@desk
      sshPrivateKeyFile: ~/.ssh/id_ed25519
  homelab:backupStorage:
    value: nas
  homelab:files:
    value:
      evidence: drills
      trust: trust
      knownHosts: ~/.homelab/known_hosts
`;

const PROD = `config:
  homelab:kind: prod
  homelab:cloudImage:
    url: https://images.example.net/debian.qcow2
    fileName: debian.qcow2
    storage: local
  homelab:backup:
    storage:
      type: directory
      path: /mnt/pve/nas
    schedule: "02:00"
    mode: snapshot
    keepLast: 3
    keepDaily: 7
    keepWeekly: 4
    notesTemplate: "{{guestname}}"
  homelab:dns:
    zoneId: 0123456789abcdef0123456789abcdef
  homelab:readiness:
    packages: [docker.io]
    timeoutSeconds: 900
    containerTimeoutSeconds: 600
  homelab:postgresPassword:
    secure: v1:x
`;

const DRILL = `config:
  homelab:kind: drill
  homelab:drill:
    vmId: 9200
    name: docker-drill
    isolatedBridge: vmbr99
    storage: local-lvm
  homelab:targets:
    rtoMinutes: 240
    rpoMinutes: 1500
  homelab:timeouts:
    restoreSeconds: 3600
    startSeconds: 120
    agentSeconds: 600
    checkSeconds: 600
    canarySkewSeconds: 5
`;

export const STACKS = { prod: PROD, drill: DRILL };

/** An environment with all that a stack needs; no file and no host of it exists. */
export const ENVIRONMENT: NodeJS.ProcessEnv = {
  PROXMOX_VE_ENDPOINT: "https://pve.example.net:8006/",
  PROXMOX_VE_API_TOKEN: "homelab@pve!iac=11111111-2222-3333-4444-555555555555",
  CLOUDFLARE_API_TOKEN: "token",
};

/** One database, one service behind the proxy. */
export const CATALOGUE = {
  postgres: {
    name: "postgres",
    purpose: "Keeps the data.",
    image: "postgres:15-bookworm",
    environment: { POSTGRES_PASSWORD: { secret: "postgresPassword" } },
    volumes: [{ volume: "postgres-data", path: "/var/lib/postgresql/data" }],
    data: "essential",
  },
  proxy: {
    name: "proxy",
    purpose: "Is the way in.",
    image: "caddy:2.11.1",
    ports: [{ hostPort: 443, containerPort: 443 }],
    volumes: [
      { volume: "caddy-etc", path: "/etc/caddy" },
      { volume: "caddy-data", path: "/data" },
    ],
    reverseProxy: { rootCertificatePath: "/data/root.crt" },
    data: "essential",
  },
  web: {
    name: "web",
    purpose: "Answers.",
    image: "nginx:1.29",
    route: { host: "www", containerPort: 80, exposure: "lan" },
    dependsOn: ["postgres"],
    data: "none",
  },
} as const;

/** Edits of the files, as pairs of what stands there and what takes its place. */
export interface Edits {
  readonly project?: readonly (readonly [string, string])[];
  readonly stack?: readonly (readonly [string, string])[];
  readonly environment?: Readonly<Record<string, string | undefined>>;
}

/** A text with each first occurrence replaced; what is to be replaced must be there. */
export function edit(text: string, changes: readonly (readonly [string, string])[] = []): string {
  return changes.reduce((current, [from, to]) => {
    if (!current.includes(from)) throw new Error(`The fixture does not contain "${from}".`);
    return current.replace(from, to);
  }, text);
}

/** The message about a project with these edits. Fails when the checks accept it. */
export function refusalOf(kind: "prod" | "drill", edits: Edits): string {
  const project = edit(PROJECT, edits.project);
  const stack = edit(STACKS[kind], edits.stack);
  const { raw, secretKeys } = readRawConfig(parse(project), parse(stack));
  const catalogue = parseCatalogue(
    Object.values(CATALOGUE).map((content) => ({ file: `services/${content.name}.ts`, content })),
  );
  const environment = { ...ENVIRONMENT, ...edits.environment };
  try {
    parseConfig(raw, { stack: kind, projectDir: "/repo", secretKeys, catalogue, environment });
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return placeProblems(error, { project, stack }).message;
  }
  throw new Error("The configuration was accepted.");
}
