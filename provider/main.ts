/** Program of the plugin `pulumi-resource-homelab`. */
import { main } from "@pulumi/pulumi/provider";
import { reporterTo } from "./engine-log";
import { createProvider } from "./plugin";

/** Longest time that steps get to report what they had made, and the server to send it. */
const GRACE_MS = 3000;
const SEND_MS = 100;
/** How often the plugin looks whether the engine is still there. */
const WATCH_MS = 1000;

// Pulumi calls a plugin with the engine's address as the first argument that is no flag.
const engineAddress = process.argv.slice(2).find((argument) => !argument.startsWith("-"));
const provider = createProvider(engineAddress === undefined ? {} : { reporter: reporterTo(engineAddress) });
for (const [signal, exitCode] of [
  ["SIGTERM", 143],
  ["SIGINT", 130],
] as const) {
  process.once(signal, () => {
    setTimeout(() => process.exit(exitCode), GRACE_MS);
    void provider.stop(`the provider was ended by ${signal}`).then(() => {
      setTimeout(() => process.exit(exitCode), SEND_MS);
    });
  });
}

// Whoever started the plugin is gone when its pipes are closed. Without this each complaint about that is a further one.
for (const stream of [process.stdout, process.stderr]) stream.on("error", () => process.exit(1));
// A killed engine says nothing. What the plugin has begun is in the journal, and the next command finds it.
const startedBy = process.ppid;
setInterval(() => {
  if (process.ppid !== startedBy) process.exit(1);
}, WATCH_MS).unref();

void main(provider, process.argv.slice(2));
