/** A project folder, state and environment of its own, in which the real `pulumi` runs the project's own program. */
import { execFile } from "node:child_process";
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { errorsIn, warningsIn } from "../../cli/pulumi-errors";
import { ensureToolchain } from "../../toolchain/ensure";
import { edit, ENVIRONMENT, PROJECT, STACKS } from "./project";

const REPO_DIR = resolve(__dirname, "../..");
const PASSPHRASE = "correct horse";

/** How a `pulumi` command ended. */
export interface Ended {
  readonly code: number;
  /** Texts after `error:` and `warning:`, without indentation. */
  readonly errors: string[];
  readonly warnings: string[];
  readonly output: string;
}

/** Edits of the fixture's files, as in `project.ts`. */
type Changes = readonly (readonly [string, string])[];

const RUNTIME = `runtime:
  name: nodejs
  options:
    typescript: false
    nodeargs: "-r ../toolchain/typescript.cjs"
main: stacks/index.ts
requiredPulumiVersion: ">=3.259.0"
plugins:
  providers:
    - name: homelab
      path: ./provider`;

export class Workspace implements AsyncDisposable {
  /** The stack file with its encrypted secrets, once Pulumi has written them. */
  private prodText: string | undefined;

  private constructor(
    readonly dir: string,
    /** Folder of the project files. */
    readonly project: string,
    readonly environment: NodeJS.ProcessEnv,
  ) {}

  /** With empty stacks `prod` and `drill`. */
  static async create(): Promise<Workspace> {
    const toolchain = await ensureToolchain({ log: (line) => process.stderr.write(`${line}\n`), what: ["pulumi"] });
    const dir = await mkdtemp(join(tmpdir(), "homelab-bad-input-"));
    const project = join(dir, "project");
    await mkdir(join(dir, "home"), { recursive: true });
    await mkdir(join(dir, "state"));
    await mkdir(project);
    await symlink(join(toolchain.pulumiPluginsHome, "plugins"), join(dir, "home", "plugins"));
    // Copied: the program finds its project by its own path.
    for (const name of ["stacks", "services"]) await cp(join(REPO_DIR, name), join(project, name), { recursive: true });
    for (const name of [
      "components",
      "provider",
      "pve",
      "toolchain",
      "node_modules",
      "package.json",
      "tsconfig.json",
    ]) {
      await symlink(join(REPO_DIR, name), join(project, name));
    }
    const workspace = new Workspace(dir, project, {
      ...ENVIRONMENT,
      PATH: `${toolchain.binDir}:${process.env["PATH"] ?? ""}`,
      HOME: join(dir, "home"),
      PULUMI_HOME: join(dir, "home"),
      PULUMI_BACKEND_URL: `file://${join(dir, "state")}`,
      PULUMI_CONFIG_PASSPHRASE: PASSPHRASE,
      PULUMI_SKIP_UPDATE_CHECK: "true",
      PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION: "true",
    });
    await workspace.write({});
    const prod = join(project, "Pulumi.prod.yaml");
    await writeFile(prod, edit(STACKS.prod, [["  homelab:postgresPassword:\n    secure: v1:x\n", ""]]));
    for (const stack of ["drill", "prod"]) await workspace.expectSuccess(["stack", "init", stack]);
    for (const key of ["postgresPassword", "minifluxAdminPassword"]) {
      await workspace.expectSuccess(["config", "set", "-s", "prod", "--secret", key, "x"]);
    }
    workspace.prodText = await readFile(prod, "utf8");
    return workspace;
  }

  /** Writes the project and the stack files anew, with these edits of the fixture. */
  async write({ project, drill, prod }: { project?: Changes; drill?: Changes; prod?: Changes }): Promise<void> {
    const withRuntime = edit(PROJECT, [["runtime: nodejs", RUNTIME]]);
    await writeFile(join(this.project, "Pulumi.yaml"), edit(withRuntime, project));
    await writeFile(join(this.project, "Pulumi.drill.yaml"), edit(STACKS.drill, drill));
    if (this.prodText !== undefined) {
      await writeFile(join(this.project, "Pulumi.prod.yaml"), edit(this.prodText, prod));
    }
  }

  /** Runs `pulumi`, whatever its exit code. */
  async pulumi(args: readonly string[], environment: NodeJS.ProcessEnv = {}): Promise<Ended> {
    const env = { ...this.environment, ...environment };
    for (const [name, value] of Object.entries(env)) if (value === undefined) Reflect.deleteProperty(env, name);
    const all = [...args, "--non-interactive", "--color=never"];
    return new Promise((done, reject) => {
      execFile("pulumi", all, { cwd: this.project, env, maxBuffer: 2 ** 26 }, (error, stdout, stderr) => {
        if (error !== null && typeof error.code !== "number") {
          reject(new Error(`Unable to run pulumi: ${error.message}`));
          return;
        }
        const output = `${stdout}\n${stderr}`;
        const code = typeof error?.code === "number" ? error.code : 0;
        done({ code, output, errors: errorsIn(output), warnings: warningsIn(output) });
      });
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.dir, { recursive: true });
  }

  private async expectSuccess(args: readonly string[]): Promise<void> {
    const { code, output } = await this.pulumi(args);
    if (code !== 0) throw new Error(`pulumi ${args.join(" ")} ended with code ${code}:\n${output}`);
  }
}
