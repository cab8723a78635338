/** Whether programs in Go, such as the public Proxmox provider, trust a server. They don't read NODE_EXTRA_CA_CERTS. */
import { readFile } from "node:fs/promises";
import { isIP } from "node:net";
import { connect } from "node:tls";

const TIMEOUT_MS = 5000;

/** Where Go looks on Linux (`crypto/x509`, root_linux.go); the first that is there counts. */
const SYSTEM_BUNDLES = [
  "/etc/ssl/certs/ca-certificates.crt",
  "/etc/pki/tls/certs/ca-bundle.crt",
  "/etc/ssl/ca-bundle.pem",
  "/etc/pki/tls/cacert.pem",
  "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
  "/etc/ssl/cert.pem",
];

/**
 * Why Go would not trust the server's certificate; undefined when it does, and when that can't be told: off Linux, without any
 * bundle, or when the server does not answer.
 */
export async function distrustOfGo(
  endpoint: string,
  environment: NodeJS.ProcessEnv = process.env,
): Promise<string | undefined> {
  const named = environment["SSL_CERT_FILE"] ?? "";
  // The usual case: both kinds of programs read the same file.
  if (process.platform !== "linux" || (named !== "" && named === environment["NODE_EXTRA_CA_CERTS"])) return undefined;
  const ca = await firstReadable(named === "" ? SYSTEM_BUNDLES : [named]);
  if (ca === undefined) return undefined;
  const { hostname, port } = new URL(endpoint);
  const host = hostname.replace(/^\[|\]$/g, "");
  return new Promise((done) => {
    const socket = connect({
      ...{ host, port: Number(port || 443), ca, timeout: TIMEOUT_MS },
      ...(isIP(host) === 0 ? { servername: host } : {}),
    });
    const end = (reason: string | undefined): void => {
      socket.destroy();
      done(reason);
    };
    socket.once("secureConnect", () => end(undefined));
    socket.once("timeout", () => end(undefined));
    socket.once("error", (error: NodeJS.ErrnoException) => {
      const isDistrust = /CERT|UNABLE_TO_(?:VERIFY|GET_ISSUER)/.test(error.code ?? "");
      end(isDistrust ? error.message : undefined);
    });
  });
}

async function firstReadable(files: readonly string[]): Promise<string | undefined> {
  for (const file of files) {
    try {
      return await readFile(file, "utf8");
    } catch {
      // The next one may be there.
    }
  }
  return undefined;
}
