/**
 * Pulumi's analyzer protocol. Spoken here and not by `@pulumi/policy`, because that hands its rules neither the stack's
 * configuration nor which values are secret (docs/adr/007-policy-pack.md).
 */
import { Server, ServerCredentials, type sendUnaryData, type ServerUnaryCall } from "@grpc/grpc-js";
import { AnalyzerService } from "@pulumi/pulumi/proto/analyzer_grpc_pb";
import {
  AnalyzeDiagnostic,
  type AnalyzeRequest,
  AnalyzeResponse,
  type AnalyzerStackConfigureRequest,
  AnalyzerStackConfigureResponse,
  type AnalyzeStackRequest,
  AnalyzerHandshakeResponse,
  AnalyzerInfo,
  EnforcementLevel,
  PolicyInfo,
  RemediateResponse,
} from "@pulumi/pulumi/proto/analyzer_pb";
import { PluginInfo } from "@pulumi/pulumi/proto/plugin_pb";
import { factsOf, type StackFacts } from "./facts";
import type { PolicyResource } from "./resource";
import type { Rule } from "./rule";
import { toResource } from "./wire";

const NAME = "homelab";
const VERSION = "0.1.0";
const MAX_MESSAGE_BYTES = 400 * 1024 ** 2;

const LEVELS = { mandatory: EnforcementLevel.MANDATORY, advisory: EnforcementLevel.ADVISORY };

/** Serves the rules on a port of the loopback interface and returns the port. */
export async function servePolicies(rules: readonly Rule[], environment: NodeJS.ProcessEnv): Promise<number> {
  const server = new Server({ "grpc.max_receive_message_length": MAX_MESSAGE_BYTES });
  server.addService(AnalyzerService, new Analyzer(rules, environment).handlers());
  return new Promise((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, port) => {
      if (error === null) resolve(port);
      else reject(error);
    });
  });
}

class Analyzer {
  private facts: StackFacts | Error = new Error(
    "Unable to judge the stack by the homelab's policies: Pulumi did not tell its configuration. Use Pulumi 3.259 or newer.",
  );

  constructor(
    private readonly rules: readonly Rule[],
    private readonly environment: NodeJS.ProcessEnv,
  ) {}

  handlers(): Parameters<Server["addService"]>[1] {
    return {
      handshake: answer(() => new AnalyzerHandshakeResponse()),
      getPluginInfo: answer(() => new PluginInfo().setVersion(VERSION)),
      getAnalyzerInfo: answer(() => this.info()),
      configureStack: answer((request: AnalyzerStackConfigureRequest) => this.configure(request)),
      remediate: answer(() => new RemediateResponse()),
      analyze: answer((request: AnalyzeRequest) => this.analyze(toResource(request))),
      analyzeStack: answer((request: AnalyzeStackRequest) =>
        this.analyzeStack(request.getResourcesList().map(toResource)),
      ),
    };
  }

  private info(): AnalyzerInfo {
    const policies = this.rules.map(({ name, description, level }) =>
      new PolicyInfo().setName(name).setDescription(description).setEnforcementlevel(LEVELS[level]),
    );
    return new AnalyzerInfo().setName(NAME).setDisplayname(NAME).setVersion(VERSION).setPoliciesList(policies);
  }

  private configure(request: AnalyzerStackConfigureRequest): AnalyzerStackConfigureResponse {
    try {
      this.facts = factsOf({
        stack: request.getStack(),
        values: Object.fromEntries(request.getConfigMap().getEntryList()),
        secretKeys: request.getConfigSecretKeysList(),
        environment: this.environment,
        now: new Date(),
      });
    } catch (error) {
      // Said when the first resource comes: the program's own check of the configuration speaks before, and better.
      this.facts = error instanceof Error ? error : new Error(String(error));
    }
    return new AnalyzerStackConfigureResponse();
  }

  private analyze(resource: PolicyResource): AnalyzeResponse {
    // Pulumi registers the stack itself before the program has looked at its configuration.
    if (resource.type === "pulumi:pulumi:Stack") return new AnalyzeResponse();
    const facts = this.known();
    return new AnalyzeResponse().setDiagnosticsList(
      this.rules.flatMap((rule) =>
        (rule.resource?.(resource, facts) ?? []).map((message) => diagnostic(rule, message, resource.urn)),
      ),
    );
  }

  private analyzeStack(resources: readonly PolicyResource[]): AnalyzeResponse {
    const facts = this.known();
    return new AnalyzeResponse().setDiagnosticsList(
      this.rules.flatMap((rule) =>
        (rule.stack?.(resources, facts) ?? []).map(({ message, urn }) => diagnostic(rule, message, urn ?? "")),
      ),
    );
  }

  private known(): StackFacts {
    if (this.facts instanceof Error) throw this.facts;
    return this.facts;
  }
}

function diagnostic({ name, description, level }: Rule, message: string, urn: string): AnalyzeDiagnostic {
  return new AnalyzeDiagnostic()
    .setPolicyname(name)
    .setPolicypackname(NAME)
    .setPolicypackversion(VERSION)
    .setDescription(description)
    .setMessage(message)
    .setEnforcementlevel(LEVELS[level])
    .setUrn(urn);
}

/** A handler of a synchronous function; what it throws is the call's error. */
function answer<Request, Response>(work: (request: Request) => Response) {
  return (call: ServerUnaryCall<Request, Response>, callback: sendUnaryData<Response>): void => {
    let response: Response;
    try {
      response = work(call.request);
    } catch (error) {
      callback(error instanceof Error ? error : new Error(String(error)));
      return;
    }
    callback(null, response);
  };
}
