import { join } from "node:path";
import { cacheDir } from "../toolchain/cache";
import { CliError, Interrupted } from "./errors";
import { Progress } from "./progress";

/** Does the work of a command with a log of its own, which an error that people can act on names. */
export async function withProgress<T>(name: string, work: (progress: Progress) => Promise<T>): Promise<T> {
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
