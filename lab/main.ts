/**
 * The lab daemon: `node --import tsx lab/main.ts <spec.json>`, inside the lab's network namespace. Prints `ready` when the API
 * answers; SIGTERM or SIGINT stop the machines and end it.
 */
import { readFileSync } from "node:fs";
import { startLab } from "./daemon";
import { messageOf } from "./errors";
import { labSpecSchema } from "./spec";

async function main(): Promise<void> {
  const file = process.argv[2];
  if (file === undefined) throw new Error("no specification was named. Call it as: lab/main.ts <spec.json>");
  const spec = labSpecSchema.parse(JSON.parse(readFileSync(file, "utf8")));
  const stopped = new Promise<void>((resolve) => {
    process.once("SIGTERM", () => resolve());
    process.once("SIGINT", () => resolve());
  });
  const lab = await startLab(spec);
  process.stdout.write("ready\n");
  await stopped;
  await lab[Symbol.asyncDispose]();
}

main().then(
  () => process.exit(0),
  (error: unknown) => {
    process.stderr.write(`Unable to run the lab: ${messageOf(error)}\n`);
    process.exit(1);
  },
);
