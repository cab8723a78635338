/** Previews without a change of a deployed prod, and what `terraform plan` of the same Proxmox resources takes. */
import { copyFile, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { runCommand } from "../cli/command";
import { causeOf } from "../cli/errors";
import { runInside, runInsideOrThrow } from "../cli/lab/inside";
import { pulumi } from "../cli/lab/pulumi";
import { readProdConfig } from "../cli/lab/stack-files";
import type { RunningLab } from "../cli/lab/up";
import type { Progress } from "../cli/progress";
import { cacheDir } from "../toolchain/cache";
import { buildGoProgram } from "../toolchain/go-build";
import { TERRAFORM_PROVIDER } from "../toolchain/versions";
import { type Line } from "./measurement";
import { cliConfiguration, terraformProject } from "./terraform-project";

const RUNS = 3;
const WHAT = "preview of prod without a change";

/** Needs a deployed prod. Afterwards there is a second image, and the lab's folder holds Terraform's state. */
export async function measurePlans(lab: RunningLab, progress: Progress): Promise<Line[]> {
  const stack = lab.files.prod.name;
  const preview = async (...flags: string[]): Promise<number> =>
    best(`pulumi preview -s ${stack} ${flags.join(" ")}`, progress, async () => {
      await pulumi(lab.paths, ["preview", "-s", stack, "--expect-no-changes", ...flags]);
    });
  const plain = await preview();
  const refreshed = await preview("--refresh");
  const detail = `all of the stack; best of ${RUNS}`;
  const lines: Line[] = [
    { what: WHAT, value: plain, unit: "s", detail },
    { what: `${WHAT}, with refresh`, value: refreshed, unit: "s", detail },
  ];
  const against = `${WHAT}, against \`terraform plan\``;
  const terraform = await findTerraform();
  if (terraform === undefined) return [...lines, { what: against, reason: "there is no terraform on the PATH" }];
  let folder: string;
  try {
    folder = await prepareTerraform(lab, progress);
  } catch (error) {
    return [...lines, { what: against, reason: causeOf(error).replace(/\.$/, "") }];
  }
  const plan = async (...flags: string[]): Promise<number> =>
    best(`terraform plan ${flags.join(" ")}`, progress, () => planWithoutChange(lab, folder, flags));
  const line = (what: string, pulumiSeconds: number, planSeconds: number): Line => ({
    what,
    value: pulumiSeconds / planSeconds,
    unit: "x",
    detail: `${pulumiSeconds.toFixed(2)} s for all of the stack, ${terraform} ${planSeconds.toFixed(2)} s for its Proxmox resources; best of ${RUNS}`,
  });
  return [
    ...lines,
    line(`${against} -refresh=false`, plain, await plan("-refresh=false")),
    line(`${WHAT}, with refresh, against \`terraform plan\``, refreshed, await plan()),
  ];
}

/** `terraform 1.11.4`, or undefined where there is none. */
export async function findTerraform(path: string = process.env["PATH"] ?? ""): Promise<string | undefined> {
  try {
    const { stdout } = await runCommand("terraform", ["version"], { env: { PATH: path } });
    const version = /^Terraform v(\S+)/m.exec(stdout)?.[1];
    return version === undefined ? undefined : `terraform ${version}`;
  } catch {
    return undefined; // not installed
  }
}

/** A folder in which Terraform knows the resources that Pulumi has made, and plans no change of them. */
async function prepareTerraform(lab: RunningLab, progress: Progress): Promise<string> {
  const provider = await progress.step("Terraform's provider for Proxmox", ({ detail }) =>
    buildGoProgram(TERRAFORM_PROVIDER, join(cacheDir(), "toolchain"), detail),
  );
  const folder = join(lab.paths.dir, "terraform");
  const plugins = join(folder, "plugins");
  await mkdir(plugins, { recursive: true });
  await copyFile(provider, join(plugins, TERRAFORM_PROVIDER.name));
  await writeFile(join(folder, "cli.tfrc"), cliConfiguration(plugins));
  const config = await readProdConfig(lab.paths.project, lab.files.prod.name);
  await writeFile(join(folder, "main.tf.json"), terraformProject(config));
  await progress.step("terraform apply (import)", ({ detail }) =>
    runInsideOrThrow(lab.paths, ["terraform", "apply", "-auto-approve", "-input=false", "-no-color"], {
      ...environmentOf(folder),
      onLine: detail,
    }),
  );
  return folder;
}

async function planWithoutChange(lab: RunningLab, folder: string, flags: readonly string[]): Promise<void> {
  const command = ["terraform", "plan", "-detailed-exitcode", "-input=false", "-no-color", ...flags];
  const { code, stdout } = await runInside(lab.paths, command, environmentOf(folder));
  if (code !== 0) throw new Error(`Unable to compare with terraform plan: it plans a change.\n${stdout}`);
}

function environmentOf(folder: string): { cwd: string; env: Record<string, string> } {
  return { cwd: folder, env: { TF_CLI_CONFIG_FILE: join(folder, "cli.tfrc"), CHECKPOINT_DISABLE: "1" } };
}

async function best(what: string, progress: Progress, work: () => Promise<void>): Promise<number> {
  let least = Infinity;
  for (let index = 1; index <= RUNS; index++) {
    await progress.step(`${what}, run ${index} of ${RUNS}`, async () => {
      const begun = performance.now();
      await work();
      least = Math.min(least, (performance.now() - begun) / 1000);
    });
  }
  return least;
}
