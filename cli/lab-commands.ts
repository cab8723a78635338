/** What an operator types about the rehearsal lab. */
import type { Command } from "commander";
import type { FaultScope } from "../lab/faults/scope";
import { parseId } from "./arguments";
import { REPO_DIR } from "./lab/node-command";
import { withProgress } from "./with-progress";

interface LabOptions {
  id: string;
}

/** Adds `rehearse`, which has a lab for itself, and `lab`. */
export function addLabCommands(root: Command, setExit: (code: number) => void): void {
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
}
