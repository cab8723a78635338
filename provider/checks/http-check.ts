/** The HTTP check: GET inside the guest through the restored proxy, name and certificate chain verified by curl. */
import type { CheckSpec } from "../contract/checks";
import { shorten } from "../text";
import { type ContainerWatch, upState } from "./containers";
import type { Guest } from "./guest";
import { type Attempt, notYet, type Outcome, passed, tryUntilDone } from "./outcome";

type HttpCheck = Extract<CheckSpec, { kind: "http" }>;

const REQUEST_SECONDS = 30;

/** curl's arguments. The root certificate comes on standard input, so that nothing is written into the guest. */
export function curlCommand(check: HttpCheck): string[] {
  const { hostName, path, expectBodyIncludes } = check;
  const output = expectBodyIncludes === undefined ? ["--output", "/dev/null"] : [];
  return [
    "curl",
    ...["--silent", "--show-error", "--noproxy", "*", "--max-time", String(REQUEST_SECONDS)],
    // Without a CA path: the guest's own store came out of the backup and proves nothing.
    ...["--cacert", "/dev/stdin", "--capath", "/dev/null", "--resolve", `${hostName}:443:127.0.0.1`],
    ...output,
    ...["--write-out", "\n%{http_code}", `https://${hostName}${path}`],
  ];
}

/**
 * Tries until status and body are as expected. While a container on the way is not up, nothing is asked; one that stays
 * stopped ends the check. Without a recorded root the chain can't be verified: skipped.
 */
export async function checkHttp(guest: Guest, watch: ContainerWatch, check: HttpCheck): Promise<Outcome> {
  const root = check.rootCertificatePem;
  if (root === undefined) {
    return { status: "skipped", detail: "production has recorded no root certificate to verify the chain against" };
  }
  return tryUntilDone(guest, async () => {
    const looks = await Promise.all(check.containers.map(async (name) => upState(name, await watch.look(name))));
    const attempts = looks.flatMap((look) => ("attempt" in look ? [look.attempt] : []));
    const notUp = attempts.find((attempt) => "outcome" in attempt) ?? attempts[0];
    if (notUp !== undefined) return notUp;
    const { exitCode, stdout, stderr } = await guest.run(curlCommand(check), root);
    return exitCode === 0
      ? judgeAnswer(check, stdout)
      : notYet(`GET ${check.path}: ${shorten(stderr || `curl ended with ${exitCode}`)}`);
  });
}

function judgeAnswer({ path, expectStatus, expectBodyIncludes }: HttpCheck, stdout: string): Attempt {
  const end = stdout.lastIndexOf("\n");
  const status = Number(stdout.slice(end + 1));
  const body = stdout.slice(0, Math.max(0, end));
  if (status !== expectStatus) return notYet(`GET ${path} answered ${status}, expected ${expectStatus}`);
  if (expectBodyIncludes !== undefined && !body.includes(expectBodyIncludes)) {
    return notYet(`GET ${path} answered ${status}, but the body does not contain "${expectBodyIncludes}"`);
  }
  return passed(`GET ${path} answered ${status}, chain and name verified`);
}
