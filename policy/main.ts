/** Started by Pulumi for `--policy-pack`: prints the port on which it answers. */
import { RULES } from "./rules";
import { servePolicies } from "./server";

servePolicies(RULES, process.env).then(
  (port) => process.stdout.write(`${port}\n`),
  (error: unknown) => {
    console.error(`Unable to start the policies: ${error instanceof Error ? error.message : String(error)}`);
    process.exit(1);
  },
);
