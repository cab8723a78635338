/** Files of the project that the program reads itself. */
import { RunError } from "@pulumi/pulumi/errors";
import { existsSync, readFileSync } from "node:fs";

/** Text of a file that need not exist; undefined where it does not. */
export function readIfThere(file: string): string | undefined {
  return existsSync(file) ? readFileSync(file, "utf8") : undefined;
}

/** Runs a step whose error is for people: a RunError shows its message alone, without a stack trace that would bury it. */
export function orRunError<T>(step: () => T): T {
  try {
    return step();
  } catch (error) {
    throw new RunError(error instanceof Error ? error.message : String(error));
  }
}
