import { main } from "@pulumi/pulumi/provider";

import { CloudflareProvider } from "./provider";

main(new CloudflareProvider(), process.argv.slice(2)).catch((error: unknown) => {
  console.error(`Unable to start the Cloudflare plugin: ${error instanceof Error ? error.message : String(error)}`);
  process.exit(1);
});
