/** What the environment must hold before a stack runs. Both providers read it at each call; nothing of it is in a state. */
import { accessSync, constants } from "node:fs";
import type { Problem } from "../services/checks/problem-text";

/** Which variables matter. */
export interface EnvironmentNeeds {
  /** Whether the stack makes DNS records. */
  readonly cloudflare: boolean;
}

/** As Proxmox forms them: `PVE::AccessControl`, `$token_subid_regex` and a UUID. */
const PVE_TOKEN =
  /^(?!PVEAPIToken)[^\s:/!]+@[A-Za-z][\w.-]+![A-Za-z][\w.-]+=[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

const ENDPOINT = "https://<node>:8006/, without a path";
const TOKEN = "<user>@<realm>!<name>=<uuid>";

/** Variables that would switch the verification of certificates off. */
const UNVERIFIED: Readonly<Record<string, RegExp>> = {
  PROXMOX_VE_INSECURE: /^(1|t|true)$/i,
  NODE_TLS_REJECT_UNAUTHORIZED: /^0$/,
};

/** Every problem of the environment; `path` is the variable. Secret values never stand in a text. */
export function environmentProblems(environment: NodeJS.ProcessEnv, needs: EnvironmentNeeds): Problem[] {
  const problems: Problem[] = [];
  const refuse = (variable: string, text: string): void => void problems.push({ path: [variable], text });
  const valueOf = (variable: string): string => environment[variable]?.trim() ?? "";

  const endpoint = valueOf("PROXMOX_VE_ENDPOINT");
  if (endpoint === "") refuse("PROXMOX_VE_ENDPOINT", `missing. Expected: ${ENDPOINT}.`);
  else if (!isEndpoint(endpoint)) {
    refuse("PROXMOX_VE_ENDPOINT", `"${withoutUser(endpoint)}" is not accepted. Expected: ${ENDPOINT}.`);
  }
  const token = valueOf("PROXMOX_VE_API_TOKEN");
  if (token === "") refuse("PROXMOX_VE_API_TOKEN", `missing. Expected: ${TOKEN}.`);
  else if (!PVE_TOKEN.test(token)) {
    refuse("PROXMOX_VE_API_TOKEN", `the value (not shown) is not accepted. Expected: ${TOKEN}.`);
  }
  if (needs.cloudflare) {
    const cloudflare = valueOf("CLOUDFLARE_API_TOKEN");
    if (cloudflare === "") {
      refuse("CLOUDFLARE_API_TOKEN", "missing. Expected: an API token with Zone.DNS:Edit on the zone.");
    } else if (!/^[\w-]+$/.test(cloudflare)) {
      refuse(
        "CLOUDFLARE_API_TOKEN",
        'the value (not shown) is not accepted. Expected: an API token of letters, digits, _ and -, without "Bearer".',
      );
    }
  }
  for (const [variable, off] of Object.entries(UNVERIFIED)) {
    const value = valueOf(variable);
    if (!off.test(value)) continue;
    refuse(
      variable,
      `"${value}" would leave certificates unverified. Expected: unset, with the cluster's CA in the file that ` +
        "SSL_CERT_FILE and NODE_EXTRA_CA_CERTS name.",
    );
  }
  for (const variable of ["SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS"]) {
    const file = valueOf(variable);
    if (file !== "" && !isReadable(file)) {
      refuse(variable, `"${file}" can't be read. Expected: a PEM file with the cluster's CA.`);
    }
  }
  return problems;
}

function isEndpoint(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, pathname, search, hash, username, password } = new URL(text);
  return protocol === "https:" && pathname === "/" && `${search}${hash}${username}${password}` === "";
}

/** A password may stand in a URL. */
function withoutUser(endpoint: string): string {
  return endpoint.replace(/\/\/[^/]*@/, "//…@");
}

function isReadable(file: string): boolean {
  try {
    accessSync(file, constants.R_OK);
    return true;
  } catch {
    return false; // whatever the cause, the programs that need the file can't read it either
  }
}
