/** Conversions that PVE makes when configuration values are set. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { type VmConfig } from "../types";
import { normalizeNetwork } from "./network";

/** Keys whose change reaches a running guest at once (PVE::QemuServer `$fast_plug_option`). */
const FAST_PLUG = new Set(["description", "name", "onboot", "protection", "shares", "startup", "tags", "template"]);

/** Whether a changed value of this key takes effect without a restart. */
export function isAppliedAtOnce(key: string): boolean {
  return FAST_PLUG.has(key) || /^unused\d+$/.test(key);
}

/** Values in the form in which PVE stores them; drives are left as they are. */
export async function normalizeValues(values: VmConfig): Promise<VmConfig> {
  const normalized: VmConfig = {};
  for (const [key, value] of Object.entries(values)) normalized[key] = await normalizeValue(key, value);
  return normalized;
}

async function normalizeValue(key: string, value: string): Promise<string> {
  if (/^net\d+$/.test(key)) return normalizeNetwork(key, value);
  switch (key) {
    case "tags":
      return normalizeTags(value);
    case "cipassword":
      return value.startsWith("$5$") ? value : await encryptPassword(value);
    case "memory":
      return value.replace(/^current=/, "");
    case "vmgenid":
      return value === "1" ? crypto.randomUUID() : value;
    default:
      return value;
  }
}

/** Unique, lower case, sorted (PVE::GuestHelpers `get_unique_tags` with the default tag style). */
function normalizeTags(text: string): string {
  const tags = text.split(/[,;\s]+/).filter((tag) => tag !== "");
  return [...new Set(tags.map((tag) => tag.toLowerCase()))].sort().join(";");
}

/** PVE keeps only the hash of a cloud-init password (PVE::Tools `encrypt_pw`, SHA-256 crypt). */
async function encryptPassword(password: string): Promise<string> {
  const child = promisify(execFile)("openssl", ["passwd", "-5", "-stdin"]);
  child.child.stdin?.end(`${password}\n`);
  return (await child).stdout.trim();
}
