/** What is secret stays secret. */
import type { SecretFact } from "../facts";
import type { ClearText } from "../resource";
import type { Rule } from "../rule";

/** Shorter values also occur by chance inside other texts; they are found only where they are the whole text or variable. */
const SHORTEST_SEARCHED = 8;

/** Forms that only secrets have. */
const FORMS: readonly { readonly what: string; readonly pattern: RegExp }[] = [
  { what: "a private key", pattern: /-----BEGIN [A-Z ]*PRIVATE KEY-----/ },
  { what: "a Proxmox API token", pattern: /![\w.-]+=[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/i },
  { what: "a password in a URL", pattern: /\b[a-z][a-z0-9+.-]*:\/\/[^\s/:@]+:[^\s/:@]+@/i },
];

/** Names of variables that hold a secret, and not the path of a file with it. */
const SECRET_NAME = "[A-Z0-9_]*(?:PASSWORD|PASSWD|SECRET|TOKEN|API_?KEY|PRIVATE_KEY)";

/** A variable of a container; and a plain variable's label, which stands there where the variables themselves are hidden. */
const SECRET_VARIABLE = new RegExp(`^(?:(${SECRET_NAME})=.|homelab\\.env\\.(${SECRET_NAME})$)`, "s");

export const noSecretInClear: Rule = {
  name: "no-secret-in-clear",
  description: "No secret stands in a property that state and previews show.",
  level: "mandatory",
  resource: ({ name, clearTexts }, { secrets }) =>
    clearTexts.flatMap((clear) => {
      const found = secretIn(clear, secrets);
      if (found === undefined) return [];
      return [
        `Unable to accept ${name}: ${clear.path} holds ${found} in clear, which state and previews would show. ` +
          "Store it with pulumi config set --secret, name it in the service's file as {secret: …}, and renew it if it was ever committed.",
      ];
    }),
};

/** What the text gives away, never the value. */
function secretIn({ text }: ClearText, secrets: readonly SecretFact[]): string | undefined {
  const known = secrets.find(({ value }) =>
    value.length >= SHORTEST_SEARCHED ? text.includes(value) : text === value || text.endsWith(`=${value}`),
  );
  if (known !== undefined) return `the value of ${known.source}`;
  const form = FORMS.find(({ pattern }) => pattern.test(text));
  if (form !== undefined) return form.what;
  const [, variable, label] = SECRET_VARIABLE.exec(text) ?? [];
  const name = variable ?? label;
  return name === undefined ? undefined : `the variable ${name}`;
}
