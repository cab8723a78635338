/** Small texts for people. */

/** Text of anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The end of a long text, on one line, for a check's detail. */
export function shorten(text: string, length = 300): string {
  const line = text.trim().replaceAll(/\s+/g, " ");
  return line.length <= length ? line : `…${line.slice(-length)}`;
}
