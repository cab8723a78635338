import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { labSpecSchema, type LabSpec } from "../../lab/spec";

/** A complete lab specification for tests of single parts; `changes` replace whole sections. */
export function labSpec(changes: Partial<LabSpec> = {}): LabSpec {
  return labSpecSchema.parse({
    id: "unit",
    dir: "/nonexistent",
    node: { name: "pve", address: "192.168.20.1", memoryBytes: 8 * 2 ** 30, cores: 2 },
    bridges: [{ name: "vmbr0", addresses: ["192.168.20.1/24"] }],
    storages: [],
    downloads: [],
    apiTokens: [],
    cloudflare: { apiToken: "unused", zones: [], port: 0 },
    registry: { root: "/nonexistent", tags: {}, port: 0 },
    ...changes,
  });
}

/** A throw-away certificate for an address, made with the system's openssl. */
export async function selfSigned(address: string): Promise<{ key: string; cert: string }> {
  const dir = await mkdtemp(join(tmpdir(), "certificate-"));
  try {
    await promisify(execFile)("openssl", [
      ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1"],
      ...["-subj", "/CN=test", "-addext", `subjectAltName=IP:${address}`],
      ...["-keyout", join(dir, "key.pem"), "-out", join(dir, "cert.pem")],
    ]);
    return { key: await readFile(join(dir, "key.pem"), "utf8"), cert: await readFile(join(dir, "cert.pem"), "utf8") };
  } finally {
    await rm(dir, { recursive: true });
  }
}
