/** Resource pools: names under which guests and storages are grouped. */
import { join } from "node:path";
import { z } from "zod";
import { readJsonFile, writeJsonFile } from "./json-file";

const poolSchema = z.strictObject({
  poolid: z.string(),
  comment: z.string().optional(),
  vms: z.array(z.number()),
  storages: z.array(z.string()),
});
export type Pool = z.infer<typeof poolSchema>;

/** Pools by name, kept in `<dir>/etc/pools.json`. */
export class Pools {
  private readonly file: string;
  private pools: Pool[];

  /** @param made Pools that are there when the lab begins. */
  constructor(dir: string, made: readonly Pick<Pool, "poolid" | "vms">[] = []) {
    this.file = join(dir, "etc", "pools.json");
    const begin = made.map(({ poolid, vms }) => ({ poolid, vms, storages: [] }));
    this.pools = z.array(poolSchema).parse(readJsonFile(this.file) ?? begin);
  }

  list(): readonly Pool[] {
    return this.pools;
  }

  find(id: string): Pool | undefined {
    return this.pools.find(({ poolid }) => poolid === id);
  }

  /** The pool that a guest is in; at most one. */
  ofGuest(vmId: number): Pool | undefined {
    return this.pools.find(({ vms }) => vms.includes(vmId));
  }

  put(pool: Pool): void {
    this.pools = [...this.pools.filter(({ poolid }) => poolid !== pool.poolid), pool];
    this.save();
  }

  /** Puts a new guest into a pool, and out of any other. Source: `PVE::AccessControl::add_vm_to_pool`. */
  addGuest(id: string, vmId: number): void {
    const pool = this.find(id);
    if (pool === undefined) return;
    this.forgetGuest(vmId);
    this.put({ ...pool, vms: [...pool.vms.filter((other) => other !== vmId), vmId] });
  }

  remove(id: string): void {
    this.pools = this.pools.filter(({ poolid }) => poolid !== id);
    this.save();
  }

  /** A destroyed guest leaves its pool. */
  forgetGuest(vmId: number): void {
    this.pools = this.pools.map((pool) => ({ ...pool, vms: pool.vms.filter((id) => id !== vmId) }));
    this.save();
  }

  private save(): void {
    writeJsonFile(this.file, this.pools);
  }
}
