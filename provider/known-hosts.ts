/** Host keys as `<type> <base64>`, and the known-hosts file that the Docker provider's ssh reads. */
import type { SshTarget } from "./contract/production";
import { readFileIfThere, writeFileAtomically } from "./files";

/** Key of an SSH public key blob (RFC 4253: the blob begins with its type). */
export function keyOfBlob(blob: Buffer): string {
  const length = blob.readUInt32BE(0);
  return `${blob.subarray(4, 4 + length).toString("ascii")} ${blob.toString("base64")}`;
}

/** Keys in the text of `ssh_host_*_key.pub` files, without comments. */
export function parsePublicKeys(text: string): string[] {
  const keys = text.split("\n").flatMap((line) => {
    const [type, key] = line.trim().split(/\s+/);
    return type !== undefined && key !== undefined && /^(?:ssh-|ecdsa-|sk-)/.test(type) ? [`${type} ${key}`] : [];
  });
  return [...new Set(keys)].sort();
}

/** How a host stands in a known-hosts file: with the port if it is not 22. */
export function knownHostName({ address, port = 22 }: Pick<SshTarget, "address" | "port">): string {
  return port === 22 ? address : `[${address}]:${port}`;
}

/** Keys of a host in a known-hosts file; none if there is no file. */
export async function knownHostKeys(file: string, host: string): Promise<string[]> {
  const text = (await readFileIfThere(file)) ?? "";
  const keys = text.split("\n").flatMap((line) => {
    const [hosts, type, key] = line.trim().split(/\s+/);
    return hosts?.split(",").includes(host) === true && type !== undefined && key !== undefined
      ? [`${type} ${key}`]
      : [];
  });
  return keys.sort();
}

/** Puts a host's keys into a known-hosts file in place of its old ones; other lines stay. */
export async function writeKnownHosts(file: string, host: string, keys: readonly string[]): Promise<void> {
  const text = (await readFileIfThere(file)) ?? "";
  const others = text.split("\n").filter((line) => line !== "" && line.split(/\s+/)[0] !== host);
  const lines = [...others, ...keys.map((key) => `${host} ${key}`)];
  await writeFileAtomically(file, lines.map((line) => `${line}\n`).join(""));
}
