/** Building blocks for PVE's answers: numbers and booleans that may come as text. */
import { z } from "zod";

/** An integer or number that some versions send as text. */
export const pveNumber = z.union([
  z.number(),
  z
    .string()
    .regex(/^-?\d+(?:\.\d+)?$/)
    .transform(Number),
]);

/** 0 and 1 as number, text or boolean; absent is false. */
export const pveBoolean = z
  .union([z.boolean(), z.literal([0, 1, "0", "1", ""])])
  .optional()
  .transform((value) => value === true || value === 1 || value === "1");

/** UPID of the task that a call started. */
export const upidText = z.string().startsWith("UPID:");

/** Calls that answer nothing. */
export const pveNothing = z.unknown().transform(() => undefined);
