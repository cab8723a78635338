/** Started by Pulumi for `--policy-pack`: prints the port on which it answers. */
import { RULES } from "./rules";
import { servePolicies } from "./server";

const PARENT_CHECK_MS = 1000;

/** Pulumi ends its plugins, but not when it is killed itself. */
function endWithParent(): void {
  const parent = process.ppid;
  setInterval(() => {
    if (process.ppid !== parent) process.exit(0);
  }, PARENT_CHECK_MS);
}

endWithParent();
servePolicies(RULES, process.env).then(
  (port) => process.stdout.write(`${port}\n`),
  (error: unknown) => {
    console.error(`Unable to start the policies: ${error instanceof Error ? error.message : String(error)}`);
    process.exit(1);
  },
);
