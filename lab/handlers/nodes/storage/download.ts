/** `/nodes/{node}/query-url-metadata` and `/nodes/{node}/storage/{storage}/download-url` */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { checkNode } from "../../../context";
import { describeDownload, download, findDownload } from "../../../downloads";
import { notEmulated, parameterError } from "../../../errors";
import { boolean, nodeParameter, oneOf, optional, storageParameter, string } from "../../../params";
import { all } from "../../../privileges/permission-check";
import { handler } from "../../../router";
import { ensureFolderOf } from "../../../storage";

const EXTENSIONS: Readonly<Record<"iso" | "import" | "vztmpl", RegExp>> = {
  iso: /\.(iso|img)$/i,
  import: /\.(ova|qcow2|raw|vmdk)$/i,
  vztmpl: /\.tar\.(gz|xz|zst|bz2)$/i,
};
const url = string({
  format: (text) => (/^https?:\/\/\S+$/.test(text) ? undefined : "value does not match the regex pattern"),
});

export const downloadHandlers = [
  handler({
    method: "GET",
    path: "/nodes/{node}/query-url-metadata",
    permissions: {
      check: ["or", all("/", "Sys.Audit", "Sys.Modify").check, all("/nodes/{node}", "Sys.AccessNetwork").check],
    },
    parameters: { node: nodeParameter, url, "verify-certificates": optional(boolean()) },
    returns: "object",
    handle: async ({ lab, params }) => {
      checkNode(lab, params.node);
      return await describeDownload(lab.spec, params.url);
    },
  }),
  handler({
    method: "POST",
    path: "/nodes/{node}/storage/{storage}/download-url",
    permissions: {
      check: [
        "and",
        all("/storage/{storage}", "Datastore.AllocateTemplate").check,
        ["or", all("/", "Sys.Audit", "Sys.Modify").check, all("/nodes/{node}", "Sys.AccessNetwork").check],
      ],
    },
    parameters: {
      node: nodeParameter,
      storage: storageParameter,
      content: oneOf("iso", "vztmpl", "import"),
      filename: string({ maxLength: 255 }),
      url,
      checksum: optional(string()),
      "checksum-algorithm": optional(oneOf("md5", "sha1", "sha224", "sha256", "sha384", "sha512")),
      "verify-certificates": optional(boolean()),
    },
    unsupported: ["compression"],
    returns: "string",
    handle: ({ lab, caller, params }) => {
      checkNode(lab, params.node);
      const definition = lab.storages.get(params.storage);
      if (definition.type === "lvmthin") throw notEmulated(`downloads to storages of type '${definition.type}'`);
      if (!definition.content.includes(params.content))
        throw new Error(`storage '${params.storage}' is not configured for content-type '${params.content}'`);
      if (/[/\0]/.test(params.filename) || !EXTENSIONS[params.content].test(params.filename))
        throw parameterError({ filename: "missing filename or wrong extension" });
      if ((params.checksum === undefined) !== (params["checksum-algorithm"] === undefined))
        throw parameterError({ checksum: "checksum and checksum-algorithm must be given together" });
      const source = findDownload(lab.spec, params.url);
      const target = join(lab.volumes.folderOf(definition, params.content), params.filename);
      ensureFolderOf(target);
      const algorithm = params["checksum-algorithm"];
      const checksum =
        algorithm === undefined || params.checksum === undefined ? undefined : { algorithm, value: params.checksum };
      return lab.tasks.start({
        type: "download",
        id: params.filename.replaceAll(":", "_"),
        user: caller.name,
        work: async (context) => {
          const targetLabel = lab.storages.reportedPath(definition, target);
          if (existsSync(target)) throw new Error(`refusing to override existing file '${targetLabel}'`);
          await download({ url: params.url, source, target, targetLabel, checksum }, context);
        },
      });
    },
  }),
];
