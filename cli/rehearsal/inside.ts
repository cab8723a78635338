/**
 * The rehearsal's two steps that need the lab's network, as a program: `write-row <url> <root file> <title> <user>`
 * and `count-row <node> <vmid> <container> <database> <user> <title>`. One JSON line on stdout; errors on stderr with exit code 1.
 */
import { causeOf } from "../errors";
import { countRows, writeRow } from "./data";

async function main([command, ...args]: readonly string[]): Promise<unknown> {
  const [first = "", second = "", third = "", fourth = "", fifth = "", sixth = ""] = args;
  if (command === "write-row") {
    const password = process.env["MINIFLUX_PASSWORD"] ?? "";
    return writeRow({ url: first, rootFile: second, title: third, user: fourth, password });
  }
  if (command === "count-row") {
    return countRows({ node: first, vmId: Number(second), container: third, database: fourth, user: fifth }, sixth);
  }
  throw new Error(`Unable to run "${command ?? ""}": write-row or count-row is expected.`);
}

main(process.argv.slice(2)).then(
  (result) => process.stdout.write(`${JSON.stringify(result)}\n`),
  (error: unknown) => {
    process.stderr.write(`${causeOf(error)}\n`);
    process.exitCode = 1;
  },
);
