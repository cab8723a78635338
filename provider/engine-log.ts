/** Messages to the person at the terminal, through Pulumi's engine, beside the resource that they are about. */
import * as grpc from "@grpc/grpc-js";
import { EngineClient } from "@pulumi/pulumi/proto/engine_grpc_pb";
import { LogRequest, LogSeverity } from "@pulumi/pulumi/proto/engine_pb";

/** `progress` is replaced by the next message and leaves no trace; the others stay in the output. */
export type MessageKind = "progress" | "info" | "warning";

export type Reporter = (urn: string, kind: MessageKind, message: string) => void;

/** Says nothing; for a provider without an engine. */
export const SILENT: Reporter = () => undefined;

/** Reports to the engine at this address. A message that can't be sent goes to standard error instead. */
export function reporterTo(engineAddress: string): Reporter {
  const client = new EngineClient(engineAddress, grpc.credentials.createInsecure());
  return (urn, kind, message) => {
    const request = new LogRequest();
    request.setUrn(urn);
    request.setMessage(message);
    request.setSeverity(kind === "warning" ? LogSeverity.WARNING : LogSeverity.INFO);
    request.setEphemeral(kind === "progress");
    client.log(request, (error) => {
      if (error !== null) process.stderr.write(`${message}\n`);
    });
  };
}
