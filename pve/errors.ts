/**
 * Errors of the Proxmox VE API, classified once: nobody above matches an error text.
 *
 * Source: pve-http-server `AnyEvent.pm`, qemu-server and pve-storage `die` texts. Most domain errors are plain status 500 with
 * the text as reason phrase; the JSON body's `message` exists only since 2025.
 */
/** What was asked when an error came. */
export interface PveCall {
  readonly method: string;
  /** Path below `/api2/json`, decoded for people. */
  readonly path: string;
}

/** Base of everything that the client throws. `text` is Proxmox's own words. */
export class PveError extends Error {
  constructor(
    readonly call: PveCall,
    readonly text: string,
    readonly advice: string,
    options?: ErrorOptions,
  ) {
    super(`Unable to ${call.method} ${call.path}: ${text.replace(/[.!]+$/, "")}. ${advice}`, options);
    this.name = new.target.name;
  }
}

/** Credentials are missing or have no right form; nothing was sent. */
export class PveCredentialsError extends Error {
  constructor(problems: readonly string[]) {
    super(
      `Unable to reach Proxmox VE: ${problems.join("; ")}. Set PROXMOX_VE_ENDPOINT (https://host:8006) and ` +
        "PROXMOX_VE_API_TOKEN (user@realm!name=uuid) in the environment.",
    );
    this.name = "PveCredentialsError";
  }
}

/** The object is not there. */
export class PveNotFound extends PveError {}
/** Token or ticket were not accepted (401). */
export class PveUnauthorized extends PveError {}
/** The token lacks a privilege (403). `text` names path and privilege. */
export class PvePermissionDenied extends PveError {}
/** Something of this name or id is already there. */
export class PveAlreadyExists extends PveError {}
/** Another task holds the VM or its configuration. */
export class PveLocked extends PveError {}
/** The guest agent does not answer, or the VM does not run. */
export class PveAgentUnavailable extends PveError {}
/** The guest agent can't run a command: the guest has no such program. */
export class PveGuestProgramMissing extends PveError {}
/** The guest agent is told not to run commands at all. */
export class PveGuestCommandsDisabled extends PveError {}
/** The guest agent knows no such process: the answer of a command that has ended can be read once only. */
export class PveGuestProcessUnknown extends PveError {}
/** The server does not know the call (501). */
export class PveNotImplemented extends PveError {}
/** Any other answer that is no success. */
export class PveApiError extends PveError {
  constructor(
    call: PveCall,
    readonly status: number,
    text: string,
  ) {
    super(call, text, "See the task log and the system log of the node.");
  }
}

/** Parameters were refused (400). */
export class PveParameterError extends PveError {
  constructor(
    call: PveCall,
    /** Problem by parameter name. */
    readonly errors: Readonly<Record<string, string>>,
  ) {
    const problems = Object.entries(errors).map(([name, problem]) => `${name}: ${problem.trim()}`);
    super(call, `parameters were refused (${problems.join("; ")})`, "Correct these values.");
  }
}

/** No answer of Proxmox came: name, route, TLS or something else that answers at this address. */
export class PveConnectionError extends PveError {
  constructor(
    call: PveCall,
    text: string,
    advice: string,
    /** Whether the same request may succeed in a moment. False for names, certificates and foreign answers. */
    readonly isTransient: boolean,
    options?: ErrorOptions,
  ) {
    super(call, text, advice, options);
  }
}

/** Whether the same question may get an answer in a moment: a broken connection, or a server's error without a known meaning. */
export function isPassing(error: unknown): error is PveConnectionError | PveApiError {
  return (
    (error instanceof PveConnectionError && error.isTransient) || (error instanceof PveApiError && error.status >= 500)
  );
}

/** An answer with a status of 400 or more. */
export interface ErrorAnswer {
  readonly status: number;
  /** Reason phrase of the status line. */
  readonly reason: string;
  readonly body: string;
}

interface ErrorBody {
  message?: string;
  errors?: Record<string, string>;
}

function readErrorBody(body: string): ErrorBody | undefined {
  try {
    const parsed: unknown = JSON.parse(body);
    return typeof parsed === "object" && parsed !== null ? parsed : undefined;
  } catch {
    return undefined; // 401 and 403 have no JSON body
  }
}

const NOT_FOUND =
  /does not exist|no such (?:resource|ha|job|vzdump job|task|volume|storage)|No such file or directory/i;
const LOCKED = /^VM is locked|is locked \(|can't lock file/;
const AGENT = /QEMU guest agent is not running|No QEMU guest agent configured|^VM \d+ is not running|qga command/;
const EXISTS = /already exists|already defined/;

/** Turns an answer into the error that it means. */
export function classifyAnswer(call: PveCall, answer: ErrorAnswer): PveError {
  const body = readErrorBody(answer.body);
  const fullText = body?.message?.trim();
  const reason = answer.reason.trim();
  const text =
    fullText !== undefined && (reason === "" || fullText.startsWith(reason))
      ? fullText
      : reason || `status ${answer.status}`;
  const { errors } = body ?? {};
  switch (answer.status) {
    case 401:
      return new PveUnauthorized(
        call,
        text,
        "Check PROXMOX_VE_API_TOKEN: user@realm!name=uuid, and that it has not expired.",
      );
    case 403:
      return new PvePermissionDenied(call, text, "Grant the token this privilege on this path.");
    case 501:
      return new PveNotImplemented(call, text, "The server at PROXMOX_VE_ENDPOINT does not know this call.");
    case 502:
    case 503:
    case 504:
    case 595:
    case 596:
    case 599:
      return new PveConnectionError(call, text, "Check that the node is up and reachable from its cluster.", true);
  }
  const agentError = classifyAgentAnswer(call, text);
  if (agentError !== undefined) return agentError;
  const everything = [text, ...Object.values(errors ?? {})].join("\n");
  if (answer.status === 404 || NOT_FOUND.test(everything)) {
    return new PveNotFound(call, Object.values(errors ?? {})[0]?.trim() ?? text, "Check its name.");
  }
  if (EXISTS.test(everything)) return new PveAlreadyExists(call, text, "Choose another name or id, or remove it.");
  if (answer.status === 400 && errors !== undefined) return new PveParameterError(call, errors);
  if (LOCKED.test(text)) return new PveLocked(call, text, "Wait for the task that holds the lock.");
  if (AGENT.test(text)) {
    return new PveAgentUnavailable(call, text, "Check that the VM runs and that qemu-guest-agent is active in it.");
  }
  return new PveApiError(call, answer.status, text);
}

/**
 * What the guest agent says about commands. Source: qemu `qga/commands.c` (`guest-exec`, `guest-exec-status`) and
 * `qga/main.c` (commands that are not allowed); glib's words for a program that can't be started.
 */
function classifyAgentAnswer(call: PveCall, text: string): PveError | undefined {
  if (call.path.endsWith("/agent/exec") && /No such file or directory/.test(text)) {
    return new PveGuestProgramMissing(call, text, "Install the program in the guest.");
  }
  if (/guest-exec\S* has been disabled|guest-exec\S* (?:is|was) (?:disabled|not allowed)/.test(text)) {
    const advice = "Allow guest-exec and guest-exec-status in the configuration of the guest's qemu-guest-agent.";
    return new PveGuestCommandsDisabled(call, text, advice);
  }
  if (call.path.endsWith("/agent/exec-status") && /PID -?\d+ does not exist|Invalid parameter 'pid'/.test(text)) {
    return new PveGuestProcessUnknown(call, text, "Run the command again.");
  }
  return undefined;
}

/** Node's error codes for certificates that are not trusted. */
const TLS = /CERT|UNABLE_TO_(?:VERIFY|GET_ISSUER)|ERR_TLS|ERR_SSL|EPROTO/;

/** Of certificates for which no CA helps. Source: Node's `tls` (names) and OpenSSL's X509_V_ERR codes (times). */
const TLS_ADVICE: Readonly<Record<string, string>> = {
  ERR_TLS_CERT_ALTNAME_INVALID:
    "Name the node in PROXMOX_VE_ENDPOINT as its certificate does, or give it a certificate with this name.",
  CERT_HAS_EXPIRED: "Renew it on the node (pvecm updatecerts --force), and check this computer's clock.",
  CERT_NOT_YET_VALID: "Check the clocks of this computer and of the node.",
};

/** Turns what `fetch` threw into the error that it means. */
export function classifyConnection(call: PveCall, host: string, thrown: unknown): PveConnectionError {
  const cause = rootCause(thrown);
  const code = typeof cause.code === "string" ? cause.code : "";
  const options = { cause: thrown };
  if (cause.name === "TimeoutError" || code === "UND_ERR_CONNECT_TIMEOUT" || code === "UND_ERR_HEADERS_TIMEOUT") {
    return new PveConnectionError(
      call,
      `${host} did not answer in time`,
      "Check that the node is up and reachable.",
      true,
      options,
    );
  }
  if (code === "ENOTFOUND" || code === "EAI_AGAIN") {
    return new PveConnectionError(
      call,
      `the name of ${host} is not known (${code})`,
      "Check PROXMOX_VE_ENDPOINT and name resolution.",
      // The resolver did not answer this time; that it knows no such name is an answer.
      code === "EAI_AGAIN",
      options,
    );
  }
  const ofCertificate = TLS_ADVICE[code];
  if (ofCertificate !== undefined) {
    const text = `the certificate of ${host} can't be accepted (${cause.message})`;
    return new PveConnectionError(call, text, ofCertificate, false, options);
  }
  if (TLS.test(code)) {
    const text = `the certificate of ${host} is not trusted (${cause.message})`;
    const advice =
      "Put the cluster's CA (/etc/pve/pve-root-ca.pem of the node) into a PEM file and name it in both " +
      "SSL_CERT_FILE and NODE_EXTRA_CA_CERTS.";
    return new PveConnectionError(call, text, advice, false, options);
  }
  return new PveConnectionError(
    call,
    `no connection to ${host} (${code === "" ? cause.message : code})`,
    "Check that the node is up, that the port is right and that nothing blocks the way.",
    true,
    options,
  );
}

/** Errors of other realms and DOM exceptions (time-outs) have the parts of an error without being one. */
interface ErrorLike {
  readonly name: string;
  readonly message: string;
  readonly code?: unknown;
  readonly cause?: unknown;
  readonly errors?: unknown;
}

function isErrorLike(value: unknown): value is ErrorLike {
  return typeof value === "object" && value !== null && "name" in value && "message" in value;
}

function rootCause(thrown: unknown): ErrorLike {
  let error: ErrorLike = isErrorLike(thrown) ? thrown : new Error(String(thrown));
  for (;;) {
    const next: unknown = Array.isArray(error.errors) ? error.errors[0] : error.cause;
    if (!isErrorLike(next)) return error;
    error = next;
  }
}
