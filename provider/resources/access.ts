/** The invoke `homelab:index:checkAccess`: what a stack needs is asked before anything is touched. */
import { connect } from "node:net";
import { findGuest } from "../../pve/cluster/resources";
import type { PveClient } from "../../pve/client";
import { clusterNodes } from "../../pve/nodes/list";
import { requireNoJobFor } from "../backup-jobs";
import { askCloudflare } from "../cloudflare-access";
import type { Access, CheckAccessArgs } from "../contract/access";
import type { ProviderContext } from "../definition";
import { isLookNeededAgain } from "../empty-vm";
import { requireIsolation } from "../isolated-bridge";
import { productionPoolProblem, requirePool } from "../pool";
import { distrustOfGo } from "../system-trust";

const SSH_PORT = 22;
const SSH_TIMEOUT_MS = 3000;

/** Asks Proxmox, Cloudflare and the Docker VM side by side. Never throws for what they answer. */
export async function checkAccess(context: ProviderContext, args: CheckAccessArgs): Promise<Access> {
  const [{ problems: proxmox, warnings, lookAgain }, cloudflare, vm, trust] = await Promise.all([
    askProxmox(context.client, args),
    cloudflareAnswer(context, args),
    dockerVmWarnings(context.client, args),
    // Only prod is made by the public provider, and only prod has a Docker VM to ask.
    args.dockerVm === undefined ? [] : trustWarnings(),
  ]);
  return {
    problems: [...proxmox, ...cloudflare.problems],
    // Without an answer of Proxmox these add nothing.
    warnings: [...cloudflare.warnings, ...(proxmox.length === 0 ? [...warnings, ...trust, ...vm] : [])],
    ...(lookAgain ? { lookAgain } : {}),
  };
}

interface ProxmoxAnswer {
  readonly problems: string[];
  readonly warnings: string[];
  readonly lookAgain: boolean;
}

async function askProxmox(client: PveClient, args: CheckAccessArgs): Promise<ProxmoxAnswer> {
  const { node: name, drill, dockerVm, newVm, pool } = args;
  const refused = (problem: string): ProxmoxAnswer => ({ problems: [problem], warnings: [], lookAgain: false });
  try {
    const nodes = await clusterNodes(client);
    const node = nodes.find((candidate) => candidate.node === name);
    if (node === undefined) {
      const known = nodes.map((candidate) => candidate.node).sort();
      return refused(
        `Unable to use node "${name}": the cluster has no such node. Expected: ${known.join(" or ")} (homelab:node).`,
      );
    }
    if (node.status === "offline") {
      return refused(`Unable to use node "${name}": it is offline. Start it, or look why it left.`);
    }
    const restoreProblems = await problemsOf([
      ...(pool === undefined ? [] : [requirePool(client, pool)]),
      ...(drill === undefined ? [] : drillLooks(client, { node: name, pool }, drill)),
    ]);
    if (restoreProblems.length > 0) return { problems: restoreProblems, warnings: [], lookAgain: false };
    // First the archives: where a VM was lost, that it has to be restored says more than what its token lacks.
    const lookAgain = newVm !== undefined && (await isLookNeededAgain(client, name, newVm));
    const poolProblem = dockerVm === undefined ? undefined : await poolWarning(client, dockerVm, lookAgain);
    return { problems: [], warnings: poolProblem === undefined ? [] : [poolProblem], lookAgain };
  } catch (error) {
    return refused(messageOf(error));
  }
}

/** @throws Error where the VM can't be made; while that is open, what stands in its way is a warning */
async function poolWarning(
  client: PveClient,
  dockerVm: NonNullable<CheckAccessArgs["dockerVm"]>,
  isOpen: boolean,
): Promise<string | undefined> {
  try {
    return await productionPoolProblem(client, dockerVm);
  } catch (error) {
    if (!isOpen) throw error;
    return messageOf(error);
  }
}

function drillLooks(
  client: PveClient,
  { node, pool }: { readonly node: string; readonly pool: string | undefined },
  { vmId, isolatedBridge }: NonNullable<CheckAccessArgs["drill"]>,
): Promise<unknown>[] {
  return [
    requireIsolation(client, { node, name: isolatedBridge, ownVmId: vmId }),
    requireNoJobFor(client, { vmId, node, pool }),
  ];
}

/** Of several looks side by side, what each that failed says. */
async function problemsOf(looking: readonly Promise<unknown>[]): Promise<string[]> {
  const looks = await Promise.allSettled(looking);
  return looks.flatMap((look) => (look.status === "rejected" ? [messageOf(look.reason)] : []));
}

async function cloudflareAnswer(
  { signal }: ProviderContext,
  { zoneId }: CheckAccessArgs,
): Promise<Omit<Access, "lookAgain">> {
  if (zoneId === undefined) return { problems: [], warnings: [] };
  const answer = await askCloudflare(zoneId, signal);
  const subject = `Unable to read the DNS records of zone ${zoneId} at Cloudflare`;
  switch (answer.kind) {
    case "granted":
      return { problems: [], warnings: [] };
    case "refused":
      return {
        problems: [
          `${subject}: ${answer.reason}. ` +
            "Check CLOUDFLARE_API_TOKEN, which needs Zone.DNS:Edit on this zone, and homelab:dns.zoneId.",
        ],
        warnings: [],
      };
    case "unanswered":
      return {
        problems: [],
        warnings: [`${subject}: ${answer.reason}. Changes to records will fail until it answers.`],
      };
  }
}

/**
 * A VM that runs but does not answer is a warning: the change at hand may be the one that mends its network. A VM that does
 * not run, or not yet exists, is prod's to start.
 */
async function dockerVmWarnings(client: PveClient, { dockerVm }: CheckAccessArgs): Promise<string[]> {
  if (dockerVm === undefined) return [];
  const { vmId, address } = dockerVm;
  try {
    if ((await findGuest(client, vmId))?.status !== "running") return [];
  } catch {
    return []; // said by the first question to Proxmox already
  }
  const refusal = await sshRefusal(address);
  if (refusal === undefined) return [];
  return [
    `Unable to reach the Docker VM ${vmId} at ${address}, port ${SSH_PORT}, although it runs: ${refusal}. ` +
      "Changes to services will fail until it answers: look at its console, and at homelab:dockerVm.address.",
  ];
}

async function sshRefusal(address: string): Promise<string | undefined> {
  return new Promise((done) => {
    const socket = connect({ host: address, port: SSH_PORT, timeout: SSH_TIMEOUT_MS });
    const end = (refusal: string | undefined): void => {
      socket.destroy();
      done(refusal);
    };
    socket.once("connect", () => end(undefined));
    socket.once("timeout", () => end(`no answer within ${SSH_TIMEOUT_MS / 1000} s`));
    socket.once("error", (error: NodeJS.ErrnoException) => end(error.code ?? error.message));
  });
}

/** A warning, because Go may find certificates in more places than are looked at here. */
async function trustWarnings(): Promise<string[]> {
  const endpoint = process.env["PROXMOX_VE_ENDPOINT"]?.trim() ?? "";
  if (!URL.canParse(endpoint)) return [];
  const reason = await distrustOfGo(endpoint);
  if (reason === undefined) return [];
  return [
    `The public Proxmox provider may not trust the certificate of ${new URL(endpoint).host} (${reason}): it does not read ` +
      "NODE_EXTRA_CA_CERTS. Name the same PEM file in SSL_CERT_FILE.",
  ];
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
