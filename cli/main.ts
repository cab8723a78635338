/** What an operator types besides `pulumi`. */
import { join } from "node:path";
import { Command, CommanderError, InvalidArgumentError, Option } from "commander";
import type { FaultScope } from "../lab/faults/scope";
import { cacheDir } from "../toolchain/cache";
import { CliError, Interrupted, causeOf } from "./errors";
import { REPO_DIR } from "./lab/node-command";
import { Progress } from "./progress";

const EXIT_FAILED = 1;
const EXIT_USAGE = 2;
const EXIT_INTERRUPTED = 130;

interface LabOptions {
  id: string;
}

function parseId(value: string): string {
  if (/^[a-z0-9]{1,20}$/.test(value)) return value;
  throw new InvalidArgumentError("1 to 20 lower-case letters and digits are expected.");
}

function parseCount(value: string): number {
  if (/^[1-9]\d{0,2}$/.test(value)) return Number(value);
  throw new InvalidArgumentError("A number from 1 to 999 is expected.");
}

function parseTime(value: string): string {
  if (/^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d)?(Z|[+-]\d\d:\d\d)$/.test(value) && !Number.isNaN(Date.parse(value))) {
    return value;
  }
  throw new InvalidArgumentError("A time with zone is expected, such as 2026-11-20T02:00:00+01:00.");
}

function parseList(value: string): string[] {
  const items = value.split(",").map((item) => item.trim());
  if (!items.includes("")) return items;
  throw new InvalidArgumentError("Names with commas between are expected.");
}

/** Commands load what they need when they run: `--help` and a typing error answer at once. */
function program(setExit: (code: number) => void): Command {
  const root = new Command("homelab")
    .description("A Proxmox homelab as a Pulumi program in which a restore drill is another stack")
    .exitOverride()
    .showHelpAfterError("(--help shows what there is)");

  root
    .command("rehearse")
    .description("bring production up, back it up and drill its restore, on virtual machines of this computer")
    .option("--keep", "leave the lab running, with the drill standing, and open a shell in it", false)
    .option("--archive <file>", "drill this vzdump archive of yours instead; it is read and never changed")
    .option("--id <id>", "name of the lab on this machine", parseId, "default")
    .action(async ({ archive, ...options }: LabOptions & { keep: boolean; archive?: string }) => {
      if (archive !== undefined) {
        const { rehearseArchive } = await import("./rehearsal/archive.ts");
        // npm changes into the project's folder and keeps the one in which it was called.
        const folder = process.env["INIT_CWD"] ?? process.cwd();
        const args = { ...options, archive, folder, repoDir: REPO_DIR };
        setExit(await withProgress("rehearse", (progress) => rehearseArchive({ ...args, progress })));
        return;
      }
      const { rehearse } = await import("./rehearsal/rehearse.ts");
      setExit(await withProgress("rehearse", (progress) => rehearse({ ...options, repoDir: REPO_DIR, progress })));
    });

  const lab = root.command("lab").description("the rehearsal lab by itself");
  lab
    .command("up")
    .description("start the lab and leave it running, without bringing anything up in it")
    .option("--id <id>", "name of the lab on this machine", parseId, "default")
    .action(async ({ id }: LabOptions) => {
      const { startLab } = await import("./lab/start.ts");
      await withProgress("lab-up", (progress) => startLab({ id, repoDir: REPO_DIR, progress }));
    });
  lab
    .command("down")
    .description("end the lab and remove everything of it, also after a crash")
    .option("--id <id>", "name of the lab on this machine", parseId, "default")
    .action(async ({ id }: LabOptions) => {
      const [{ takeLabDown, takenDown }, { labPaths }] = await Promise.all([
        import("./lab/down.ts"),
        import("./lab/paths.ts"),
      ]);
      const remains = await takeLabDown(labPaths(id), (line) => process.stdout.write(`${line}\n`));
      process.stdout.write(`${takenDown(id, remains)}\n`);
    });
  lab
    .command("shell")
    .description("open a shell in the lab, where the plain pulumi commands work")
    .option("--id <id>", "name of the lab on this machine", parseId, "default")
    .option("-c, --command <command>", "run this instead of an interactive shell")
    .action(async ({ id, command }: LabOptions & { command?: string }) => {
      const [{ openLabShell }, { attachInside }, { labPaths }] = await Promise.all([
        import("./lab/shell.ts"),
        import("./lab/inside.ts"),
        import("./lab/paths.ts"),
      ]);
      const paths = labPaths(id);
      setExit(await (command === undefined ? openLabShell(paths) : attachInside(paths, ["/bin/bash", "-c", command])));
    });
  lab
    .command("fault")
    .argument("[name]", "the fault, or off for all; without it, tell which there are and which are on")
    .description("switch a named fault on in a running lab")
    .option("--off", "switch it off", false)
    .option("--on <call>", "calls that it meets, such as 'GET /nodes/{node}/tasks/{upid}/status'; * is any method")
    .option("--vm <id>", "only the restore or the start of this VM", Number)
    .option("--storage <id>", "the storage that is offline")
    .option("--after <count>", "let as many pass first", Number)
    .option("--times <count>", "meet as many, then no more", Number)
    .option("--id <id>", "name of the lab on this machine", parseId, "default")
    .action(async (name: string | undefined, { id, off, ...scope }: LabOptions & FaultScope & { off: boolean }) => {
      const [{ switchFault }, { labPaths }] = await Promise.all([import("./lab/fault.ts"), import("./lab/paths.ts")]);
      const lines = await switchFault({ paths: labPaths(id), name, off, scope });
      process.stdout.write(`${lines.join("\n")}\n`);
    });
  lab
    .command("status")
    .description("tell which labs this machine has")
    .action(async () => {
      const { describeLab, labIds } = await import("./lab/status.ts");
      const lines = await Promise.all(labIds().map((id) => describeLab(id)));
      process.stdout.write(lines.length === 0 ? "No lab.\n" : `${lines.join("\n")}\n`);
    });

  root
    .command("roles")
    .description("print the script that makes the stacks' roles, users and API tokens on your Proxmox node")
    .action(async () => {
      const { rolesScript } = await import("./privileges/roles.ts");
      process.stdout.write(await rolesScript(process.cwd()));
    });

  root
    .command("lock")
    .description("write down which content the images' tags stand for now, in images.lock.json")
    .option("-s, --stack <stack>", "production's stack", "prod")
    .action(async ({ stack }: { stack: string }) => {
      const [{ lockImages }, { loadCatalogue }, { readProdConfig }] = await Promise.all([
        import("./lock/lock.ts"),
        import("../services/catalogue.ts"),
        import("./lab/stack-files.ts"),
      ]);
      const { files } = await readProdConfig(process.cwd(), stack);
      const catalogue = loadCatalogue(join(process.cwd(), "services"));
      const lines = await lockImages({ file: files.imagesLock, catalogue });
      process.stdout.write(`${lines.join("\n")}\n`);
    });

  root
    .command("drill")
    .description(
      "drill the restore of one archive, or of several one after another, and remove the restored VM each time",
    )
    .option("-s, --stack <stack>", "the drill's stack", "drill")
    .addOption(new Option("--last <count>", "drill the newest archives").argParser(parseCount).conflicts("archives"))
    .option("--archives <names>", "drill these archives: volume ids or file names, with commas between", parseList)
    .addOption(
      new Option("--keep", "leave the restored VM of a passed drill running")
        .conflicts(["last", "archives"])
        .default(false),
    )
    .action(async (options: { stack: string; last?: number; archives?: string[]; keep: boolean }) => {
      const [{ drillCommand }, { watchInterrupts }] = await Promise.all([
        import("./drill/command.ts"),
        import("./interrupt.ts"),
      ]);
      await withProgress("drill", async (progress) => {
        using interruption = watchInterrupts(() =>
          progress.line("Ending this drill and removing its VM; press Ctrl-C again to leave that to pulumi destroy."),
        );
        setExit(await drillCommand({ ...options, projectDir: process.cwd(), progress, signal: interruption.signal }));
      });
    });

  root
    .command("sweep")
    .description("remove VMs of drills that have expired; a drill does so before it begins")
    .option("-s, --stack <stack>", "a drill's stack, whose files tell what is a drill's", "drill")
    .option("--dry-run", "tell what would be removed, and why the rest would not; change nothing", false)
    .action(async (options: { stack: string; dryRun: boolean }) => {
      const [{ sweepCommand }, { watchInterrupts }] = await Promise.all([
        import("./sweep/command.ts"),
        import("./interrupt.ts"),
      ]);
      await withProgress("sweep", async (progress) => {
        using interruption = watchInterrupts(() =>
          progress.line("Ending when the removal under way has ended; press Ctrl-C again not to wait for it."),
        );
        setExit(await sweepCommand({ ...options, projectDir: process.cwd(), progress, signal: interruption.signal }));
      });
    });

  root
    .command("adopt")
    .description(
      "take what runs already into a production stack whose state is empty or lost; nothing that runs is changed",
    )
    .option("-s, --stack <stack>", "production's stack", "prod")
    .option("--no-docker", "leave out what runs in the VM")
    .action(async ({ stack, docker }: { stack: string; docker: boolean }) => {
      const [{ adoptCommand }, { watchInterrupts }] = await Promise.all([
        import("./adopt/command.ts"),
        import("./interrupt.ts"),
      ]);
      await withProgress("adopt", async (progress) => {
        using interruption = watchInterrupts(() =>
          progress.line("Ending when pulumi has ended what it is at; press Ctrl-C again not to wait for it."),
        );
        const args = { projectDir: process.cwd(), stack, docker, progress, signal: interruption.signal };
        setExit(await adoptCommand(args));
      });
    });

  root
    .command("restore")
    .description("the emergency: bring the Docker VM itself back from its backup, prove it, and empty the stack again")
    .option("-s, --stack <stack>", "the emergency's stack", "restore")
    .option("--production <stack>", "production's stack", "prod")
    .option("--outage <time>", "when the outage began, such as 2026-11-20T02:00:00+01:00", parseTime)
    .action(async ({ stack, production, outage }: { stack: string; production: string; outage?: string }) => {
      const [{ runRestore }, { readRestoreConfig }, { readProdConfig }, { pulumiIn }, { watchInterrupts }] =
        await Promise.all([
          import("./restore/restore.ts"),
          import("./restore/config.ts"),
          import("./lab/stack-files.ts"),
          import("./drill/pulumi.ts"),
          import("./interrupt.ts"),
        ]);
      const projectDir = process.cwd();
      const config = await readRestoreConfig(projectDir, stack);
      await withProgress("restore", async (progress) => {
        using interruption = watchInterrupts(() =>
          progress.line("Ending the restore; press Ctrl-C again to leave what it made to pulumi destroy."),
        );
        const outageAt = outage === undefined ? {} : { outageAt: outage };
        const pulumi = pulumiIn(projectDir);
        const prod = { stack: production, read: () => readProdConfig(projectDir, production) };
        const { signal } = interruption;
        setExit(
          await runRestore({ config, stack, projectDir, production: prod, ...outageAt, pulumi, progress, signal }),
        );
      });
    });

  const backup = root.command("backup").description("backups of the Docker VM");
  backup
    .command("now")
    .description("run the declared backup job at once and wait for the archive on the storage")
    .option("-s, --stack <stack>", "production's stack", "prod")
    .option("--job <id>", "the job, where several back the VM up")
    .action(async ({ stack, job }: { stack: string; job?: string }) => {
      const [{ backupNow }, { readProdConfig }, { watchInterrupts }] = await Promise.all([
        import("./backup.ts"),
        import("./lab/stack-files.ts"),
        import("./interrupt.ts"),
      ]);
      const config = await readProdConfig(process.cwd(), stack);
      await withProgress("backup", async (progress) => {
        using interruption = watchInterrupts(() =>
          progress.line("Stopping the backup; press Ctrl-C again to leave its task running."),
        );
        await backupNow({ config, job, progress, signal: interruption.signal });
      });
    });
  return root;
}

async function withProgress<T>(name: string, work: (progress: Progress) => Promise<T>): Promise<T> {
  const time = new Date().toISOString().replace(/[-:]|\.\d+/g, "");
  using progress = new Progress(join(cacheDir(), "logs", `${name}-${time}.log`));
  try {
    return await work(progress);
  } catch (error) {
    if (!(error instanceof Interrupted))
      progress.log(error instanceof Error ? (error.stack ?? error.message) : String(error));
    if (error instanceof CliError)
      throw new CliError(`${error.message}\nFull log: ${progress.logFile}`, { cause: error });
    throw error;
  }
}

async function main(): Promise<number> {
  let exitCode = 0;
  try {
    await program((code) => (exitCode = code)).parseAsync();
    return exitCode;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : EXIT_USAGE;
    if (error instanceof Interrupted) {
      process.stderr.write(`${error.message}\n`);
      return EXIT_INTERRUPTED;
    }
    const known = error instanceof CliError || (error instanceof Error && error.message.startsWith("Unable to "));
    process.stderr.write(known ? `\n${error.message}\n` : `\n${printUnexpected(error)}\n`);
    return EXIT_FAILED;
  }
}

function printUnexpected(error: unknown): string {
  return error instanceof Error
    ? `${error.stack ?? error.message}${error.cause ? `\ncaused by ${causeOf(error.cause)}` : ""}`
    : String(error);
}

void main().then((code) => {
  // Not just exitCode: after an interrupt, abandoned work must not keep the process alive.
  process.exit(code);
});
