/** `/version` */
import { EVERYBODY } from "../privileges/permission-check";
import { handler } from "../router";

/** The release whose API the lab follows (pve-docs 9.1 schema); `repoid` marks the lab, it is no Proxmox build. */
export const VERSION = { release: "9.1", repoid: "0000000000000000", version: "9.1.1" } as const;

export const versionHandlers = [
  handler({
    method: "GET",
    path: "/version",
    permissions: EVERYBODY,
    parameters: {},
    returns: "object",
    handle: () => VERSION,
  }),
];
