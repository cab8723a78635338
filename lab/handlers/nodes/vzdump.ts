/** `/nodes/{node}/vzdump` */
import { checkNode } from "../../context";
import { nodeParameter, optional, string } from "../../params";
import { EVERYBODY } from "../../privileges/permission-check";
import { requireBackup } from "../../privileges/backup-access";
import { requireArchiveConfigAccess } from "../../privileges/volume-access";
import { handler } from "../../router";
import { checkSelection, startVzdump, unsupportedVzdump, vzdumpParameters } from "../../vzdump";

export const vzdumpHandlers = [
  handler({
    method: "POST",
    path: "/nodes/{node}/vzdump",
    permissions: EVERYBODY,
    parameters: { ...vzdumpParameters, node: optional(nodeParameter) },
    unsupported: [...unsupportedVzdump, "job-id", "stdout"],
    returns: "string",
    authorize: ({ access, all }) => requireBackup(access, all),
    handle: ({ lab, access, all, params }) => {
      checkNode(lab, params.node ?? lab.spec.node.name);
      checkSelection(params);
      return startVzdump(lab, all, { user: access.caller, access });
    },
  }),
  handler({
    method: "GET",
    path: "/nodes/{node}/vzdump/extractconfig",
    permissions: EVERYBODY,
    parameters: { node: nodeParameter, volume: string() },
    returns: "string",
    authorize: ({ lab, access, params }) => requireArchiveConfigAccess(access, lab.volumes, params.volume),
    handle: async ({ lab, params }) => {
      checkNode(lab, params.node);
      const { content } = lab.volumes.parse(params.volume);
      if (content !== "backup")
        throw new Error(`unable to use volume ${params.volume} - content type needs to be 'backup'`);
      await lab.volumes.sizeOf(params.volume);
      return await lab.backups.extractConfig(lab.volumes.pathOf(params.volume));
    },
  }),
];
