/** What an operator types besides `pulumi`. */
import { join } from "node:path";
import { Command, CommanderError, Option } from "commander";
import { parseCount, parseList, parseTime } from "./arguments";
import { CliError, Interrupted, causeOf } from "./errors";
import { addLabCommands } from "./lab-commands";
import { withProgress } from "./with-progress";

const EXIT_FAILED = 1;
const EXIT_USAGE = 2;
const EXIT_INTERRUPTED = 130;

/** Commands load what they need when they run: `--help` and a typing error answer at once. */
function program(setExit: (code: number) => void): Command {
  const root = new Command("homelab")
    .description("A Proxmox homelab as a Pulumi program in which a restore drill is another stack")
    .exitOverride()
    .showHelpAfterError("(--help shows what there is)");

  addLabCommands(root, setExit);

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
