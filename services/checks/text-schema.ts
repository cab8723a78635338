/** Texts whose accepted form stands in every message about them, also when they are missing. */
import { z } from "zod";

/** A text of a form. `form` completes "Expected: …". */
export function matching(pattern: RegExp, form: string): z.ZodString {
  return z.string(form).regex(pattern, form);
}

/** Any text but the empty one. `form` completes "Expected: …". */
export function nonEmpty(form: string): z.ZodString {
  return z.string(form).min(1, form);
}
