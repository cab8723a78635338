import { main } from "@pulumi/pulumi/provider";

import { acceptImportRequests } from "./import-requests";
import { CloudflareProvider } from "./provider";

acceptImportRequests();

main(new CloudflareProvider(), process.argv.slice(2)).catch((error: unknown) => {
  console.error(`Unable to start the Cloudflare plugin: ${error instanceof Error ? error.message : String(error)}`);
  process.exit(1);
});
