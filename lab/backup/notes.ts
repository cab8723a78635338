/** Notes templates of backup jobs. Source: pve-manager `PVE::VZDump` `$generate_notes`. */

/** What a template can name. */
export interface NotesVariables {
  readonly cluster: string;
  readonly guestname: string;
  readonly node: string;
  readonly vmid: number;
}

/** Resolves `\n`, `\\` and `{{…}}`. Throws PVE's text for another escape or variable. */
export function renderNotes(template: string, variables: NotesVariables): string {
  const unescaped = template.replaceAll(/\\(.)/g, (_, char: string) => {
    if (char === "\\") return "\\";
    if (char === "n") return "\n";
    throw new Error(`unexpected escape character '${char}'`);
  });
  const known: Readonly<Record<string, string>> = { ...variables, vmid: String(variables.vmid) };
  return unescaped.replaceAll(/\{\{([^\s{}]+)\}\}/g, (_, name: string) => {
    const value = known[name];
    if (value === undefined) throw new Error(`unexpected variable name '${name}'`);
    return value;
  });
}
