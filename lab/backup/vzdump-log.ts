/** vzdump's two logs: the task's, and each guest's own beside the archive. Source: pve-manager `debugmsg`. */
import { writeFile } from "node:fs/promises";
import { renderTime } from "./render";

/** Lines with their level. */
export class VzdumpLog {
  private readonly lines: string[] = [];

  constructor(
    private readonly taskLog: (line: string) => void,
    private readonly now: () => Date,
  ) {}

  private add(level: "INFO" | "WARN" | "ERROR", text: string): void {
    for (const part of text.trimEnd().split("\n")) {
      const line = `${level}: ${part}`;
      this.taskLog(line);
      this.lines.push(`${renderTime(this.now())} ${line}`);
    }
  }

  readonly info = (text: string): void => this.add("INFO", text);
  readonly warn = (text: string): void => this.add("WARN", text);
  readonly error = (text: string): void => this.add("ERROR", text);

  /** Leaves the lines so far in a file. */
  async save(path: string): Promise<void> {
    await writeFile(path, this.lines.map((line) => `${line}\n`).join(""));
  }
}
