/** How `preview` and `up` get the policies: Pulumi reads each option from a variable of the environment too. */

/** Pulumi's variable for `--policy-pack`. Empty: no policies. */
export const POLICY_PACK_VARIABLE = "PULUMI_OPTION_POLICY_PACK";

/** The program, from the project's folder. Pulumi takes only an absolute path: it looks for another one below `main`. */
export const POLICY_PACK = "policy/homelab-policies";
