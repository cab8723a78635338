import { join } from "node:path";

/** Where a lab's things lie. All of it below `dir` and `netnsDir`, and all of it goes with `lab down`. */
export interface LabPaths {
  readonly id: string;
  /** Name of the network namespace. */
  readonly namespace: string;
  /** Files that replace those of /etc for every process in the namespace. */
  readonly netnsDir: string;
  readonly dir: string;
  /** The Pulumi project that runs in the lab: the operator's files with the lab's overlay. */
  readonly project: string;
  /** First on PATH inside: `homelab`. */
  readonly bin: string;
  /** HOME inside. */
  readonly home: string;
  readonly pulumiHome: string;
  /** Folder of the `file://` state backend. */
  readonly state: string;
  /** Key pair of the lab's operator; `sshKey` is secret. */
  readonly sshKey: string;
  /** Who runs the lab. */
  readonly ownerFile: string;
  /** Environment of everything that runs inside; secret, mode 0600. */
  readonly environmentFile: string;
  /** API tokens by who uses them; secret, mode 0600. */
  readonly tokensFile: string;
  /** The generated secrets of the stacks; secret, mode 0600. */
  readonly secretsFile: string;
  /** `labSpecSchema`; holds the tokens, mode 0600. */
  readonly specFile: string;
  readonly overlayFile: string;
  readonly caFile: string;
  readonly logFile: string;
  readonly requestLog: string;
}

/** A lab's id is part of every name that it uses on this machine, so that labs of different ids never meet. */
export function labPaths(id: string): LabPaths {
  const dir = `/var/tmp/homelab-${id}`;
  return {
    id,
    namespace: `homelab-${id}`,
    netnsDir: `/etc/netns/homelab-${id}`,
    dir,
    project: join(dir, "project"),
    bin: join(dir, "bin"),
    home: join(dir, "home"),
    pulumiHome: join(dir, "pulumi-home"),
    state: join(dir, "state"),
    sshKey: join(dir, "home", ".ssh", "id_ed25519"),
    ownerFile: join(dir, "owner.json"),
    environmentFile: join(dir, "environment.json"),
    tokensFile: join(dir, "tokens.json"),
    secretsFile: join(dir, "secrets.json"),
    specFile: join(dir, "spec.json"),
    overlayFile: join(dir, "overlay.yaml"),
    caFile: join(dir, "ca.pem"),
    logFile: join(dir, "lab.log"),
    requestLog: join(dir, "requests.ndjson"),
  };
}
