import { readStackFiles } from "../lab/stack-files";
import { identitiesOf } from "./grants";
import { printRolesScript } from "./script";

/** The script for the project in this folder. Asks no Proxmox: the tokens that could do so are what it makes. */
export async function rolesScript(projectDir: string): Promise<string> {
  const { stacks } = await readStackFiles(projectDir);
  return printRolesScript(identitiesOf(stacks));
}
