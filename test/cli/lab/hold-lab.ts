/** Holds a lab, as a rehearsal does, until it is interrupted: `hold-lab <id>`. For the test of Ctrl-C. */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Interrupted } from "../../../cli/errors";
import { runInside } from "../../../cli/lab/inside";
import { createNamespace } from "../../../cli/lab/namespace";
import { labPaths } from "../../../cli/lab/paths";
import { LAB_VARIABLE } from "../../../cli/lab/processes";
import { withLab } from "../../../cli/lab/with-lab";
import { Progress } from "../../../cli/progress";

const [id = ""] = process.argv.slice(2);
const paths = labPaths(id);
const progress = new Progress(join("/tmp", `hold-lab-${id}.log`));

withLab({ id, repoDir: "/", progress, keepOnSuccess: false }, async () => {
  await createNamespace(paths);
  await mkdir(paths.project);
  await writeFile(paths.environmentFile, JSON.stringify({ PATH: process.env["PATH"] ?? "", [LAB_VARIABLE]: id }));
  await progress.step("holding", async ({ line }) => {
    line("held");
    await runInside(paths, ["/bin/sh", "-c", "sleep 1000 & sleep 1001"]);
  });
}).catch((error: unknown) => {
  process.stdout.write(`${error instanceof Interrupted ? error.message : String(error)}\n`);
  process.exit(error instanceof Interrupted ? 130 : 1);
});
