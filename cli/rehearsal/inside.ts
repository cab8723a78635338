/**
 * The rehearsal's two steps that need the lab's network, as a program: `write-row <stack folder> <title>` and
 * `count-row <node> <vmid> <title>`. One JSON line on stdout; errors on stderr with exit code 1.
 */
import { causeOf } from "../errors";
import { countRows, writeRow } from "./data";

async function main([command, ...args]: readonly string[]): Promise<unknown> {
  const [first = "", second = "", third = ""] = args;
  if (command === "write-row") {
    return writeRow({ url: first, rootFile: second, title: third, password: process.env["MINIFLUX_PASSWORD"] ?? "" });
  }
  if (command === "count-row") return countRows(first, Number(second), third);
  throw new Error(`Unable to run "${command ?? ""}": write-row or count-row is expected.`);
}

main(process.argv.slice(2)).then(
  (result) => process.stdout.write(`${JSON.stringify(result)}\n`),
  (error: unknown) => {
    process.stderr.write(`${causeOf(error)}\n`);
    process.exitCode = 1;
  },
);
