/** PVE `/nodes`: the nodes of the cluster. Every user may list them. */
import { z } from "zod";
import type { PveClient } from "../client";

const nodeSchema = z.object({ node: z.string(), status: z.string().optional() });

/** A node by its name; `status` is `online`, `offline` or `unknown`. */
export type ClusterNode = z.infer<typeof nodeSchema>;

/** All nodes of the cluster. */
export async function clusterNodes(client: PveClient): Promise<ClusterNode[]> {
  return client.get("/nodes", z.array(nodeSchema));
}
