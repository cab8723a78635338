/** The access control list of the lab's cluster. It begins as the specification says, and loses what PVE takes away. */
import { join } from "node:path";
import { z } from "zod";
import { readJsonFile, writeJsonFile } from "../json-file";
import { aclEntrySchema } from "../spec";
import { type AccessRules } from "./access-control";

const NO_RULES: AccessRules = { roles: {}, acl: [], separatedTokens: [] };

/** Rules whose entries change while the lab runs; what is left of them is kept in `<dir>/etc/acl.json`. */
export class AccessList implements AccessRules {
  readonly roles: AccessRules["roles"];
  readonly separatedTokens: AccessRules["separatedTokens"];
  private readonly file: string;
  private entries: AccessRules["acl"];

  constructor(dir: string, rules: AccessRules = NO_RULES) {
    this.roles = rules.roles;
    this.separatedTokens = rules.separatedTokens;
    this.file = join(dir, "etc", "acl.json");
    const kept = readJsonFile(this.file);
    this.entries = kept === undefined ? rules.acl : z.array(aclEntrySchema).parse(kept);
  }

  get acl(): AccessRules["acl"] {
    return this.entries;
  }

  /**
   * A destroyed guest, or a removed pool, takes everybody's rights on it along.
   *
   * Source: `PVE::AccessControl::remove_vm_access`, `delete_pool_acl`.
   */
  forget(gone: `/vms/${number}` | `/pool/${string}`): void {
    const left = this.entries.filter(({ path }) => path !== gone);
    if (left.length === this.entries.length) return;
    this.entries = left;
    writeJsonFile(this.file, left);
  }
}
