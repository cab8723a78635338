/** `homelab lab fault`: switches the named faults of a running lab, over the socket in its folder. */
import { request } from "node:http";
import { messageOf } from "../../lab/errors";
import { FAULTS, isFaultName } from "../../lab/faults/catalogue";
import { controlSocket } from "../../lab/faults/control";
import type { ActiveFault } from "../../lab/faults/faults";
import type { FaultScope } from "../../lab/faults/scope";
import { CliError } from "../errors";
import type { LabPaths } from "./paths";

export interface FaultArgs {
  readonly paths: LabPaths;
  /** A fault, or `off` for all; absent: only tell. */
  readonly name?: string;
  /** Switch it off. */
  readonly off: boolean;
  readonly scope: FaultScope;
}

/** Does what is asked and gives lines about every fault that there is, those that are on first. */
export async function switchFault({ paths, name, off, scope }: FaultArgs): Promise<string[]> {
  if (name !== undefined && name !== "off" && !isFaultName(name)) {
    const names = Object.keys(FAULTS).join(", ");
    throw new CliError(`Unable to switch the fault "${name}": there is none of this name. Expected: ${names}, or off.`);
  }
  if (name === undefined) return describe(await ask(paths, "GET", "/faults"));
  if (name === "off") return describe(await ask(paths, "DELETE", "/faults"));
  if (off) return describe(await ask(paths, "DELETE", `/faults/${name}`));
  return describe(await ask(paths, "PUT", `/faults/${name}`, JSON.stringify(scope)));
}

function describe(on: readonly ActiveFault[]): string[] {
  const lines = on.map(({ name, scope, met }) => {
    const parts = Object.entries(scope).map(([part, value]) => `${part} ${value}`);
    return `on   ${[name, ...parts].join(", ")}; met ${met} times: ${FAULTS[name].what}`;
  });
  const rest = Object.entries(FAULTS).filter(([name]) => !on.some((fault) => fault.name === name));
  return [...lines, ...rest.map(([name, { what }]) => `off  ${name}: ${what}`)];
}

async function ask(paths: LabPaths, method: string, path: string, body = ""): Promise<ActiveFault[]> {
  const { status, text } = await new Promise<{ status: number; text: string }>((resolve, reject) => {
    const sent = request({ socketPath: controlSocket(paths.dir), method, path }, (answer) => {
      let received = "";
      answer.setEncoding("utf8").on("data", (part: string) => (received += part));
      answer.once("error", reject).once("end", () => resolve({ status: answer.statusCode ?? 0, text: received }));
    });
    sent.once("error", reject).end(body);
  }).catch((error: unknown) => {
    throw new CliError(
      `Unable to speak to the lab "${paths.id}": ${messageOf(error)}. It must be running: npm start -- --keep, or npm run homelab -- lab up.`,
      { cause: error },
    );
  });
  const answer: unknown = JSON.parse(text);
  if (status === 200) return answer as ActiveFault[];
  throw new CliError((answer as { message: string }).message);
}
