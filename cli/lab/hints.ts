/** What to type about a lab; the default one needs no `--id`. */

/** Opens a shell in it. */
export function shellCommand(id: string): string {
  return `npm run homelab -- lab shell${id === "default" ? "" : ` --id ${id}`}`;
}

/** Ends it. */
export function stopCommand(id: string): string {
  return `npm stop${id === "default" ? "" : ` -- --id ${id}`}`;
}
