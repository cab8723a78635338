/** What the operator allows for a while: `homelab:consent`. Pure. */
import type { z } from "zod";
import type { consentSchema } from "./config-schema";

export type Consent = z.infer<typeof consentSchema>[number];

/** The consents that have not expired and name one of these actions. */
export function activeConsents(
  consents: readonly Consent[],
  now: Date,
  ...actions: readonly Consent["action"][]
): Consent[] {
  return consents.filter(({ action, until }) => actions.includes(action) && Date.parse(until) > now.getTime());
}
