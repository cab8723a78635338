/**
 * Runs inside the lab: puts a row into a service through its front door, and looks for it in a restored VM. Together they
 * show that a drill restores data and not only machines.
 */
import { readFileSync } from "node:fs";
import { Agent, request } from "undici";
import { z } from "zod";
import { PveClient } from "../../pve/client";
import { runInGuest } from "../../pve/nodes/agent";
import { CliError, causeOf } from "../errors";

export interface WriteRowArgs {
  /** `https://rss.<zone>`. */
  readonly url: string;
  /** File with the root certificate that prod recorded. */
  readonly rootFile: string;
  readonly title: string;
  readonly user: string;
  /** Secret. */
  readonly password: string;
}

/** A database in a container of a VM. */
export interface DatabasePlace {
  readonly node: string;
  readonly vmId: number;
  readonly container: string;
  readonly database: string;
  readonly user: string;
}

/** Makes a Miniflux category through proxy, certificate and application. Returns its id. */
export async function writeRow(args: WriteRowArgs): Promise<number> {
  const dispatcher = new Agent({ connect: { ca: readFileSync(args.rootFile) } });
  try {
    const response = await request(`${args.url}/v1/categories`, {
      method: "POST",
      dispatcher,
      headers: {
        authorization: `Basic ${Buffer.from(`${args.user}:${args.password}`).toString("base64")}`,
        "content-type": "application/json",
      },
      body: JSON.stringify({ title: args.title }),
      headersTimeout: 60_000,
    });
    const text = await response.body.text();
    if (response.statusCode !== 201) throw new Error(`status ${response.statusCode}: ${text.slice(0, 300)}`);
    return z.object({ id: z.number(), title: z.literal(args.title) }).parse(JSON.parse(text)).id;
  } catch (error) {
    throw new CliError(
      `Unable to write data through ${args.url}: ${causeOf(error)}. Look at the containers of the service and of the reverse proxy.`,
      { cause: error },
    );
  } finally {
    await dispatcher.close();
  }
}

/** Asks the database of a VM through its guest agent how many categories have this title. */
export async function countRows(place: DatabasePlace, title: string, client = new PveClient()): Promise<number> {
  const { node, vmId, container, database, user } = place;
  const sql = `select count(*) from categories where title = '${title.replaceAll("'", "''")}'`;
  const psql = ["psql", "-X", "-t", "-A", "-U", user, "-d", database, "-c", sql];
  const result = await runInGuest(client, { node, vmId }, ["docker", "exec", container, ...psql], {
    timeoutMs: 60_000,
  });
  if (result.exitCode !== 0) {
    throw new CliError(
      `Unable to read the database of VM ${vmId}: ${result.stderr.trim()}. Look at container ${container}.`,
    );
  }
  return Number(result.stdout.trim());
}
