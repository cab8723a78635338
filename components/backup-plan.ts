import * as proxmoxve from "@muhlba91/pulumi-proxmoxve";
import * as pulumi from "@pulumi/pulumi";

/** Where archives go: made by this component, or by hand (`existing`). */
export type BackupStorageSource =
  | { type: "directory"; path: string }
  | { type: "nfs"; server: string; export: string; options?: string }
  | { type: "existing" };

export interface BackupPlanArgs {
  /** Made before the job, and gone after it. Asked when everything is declared, because the VM may wait for the storage. */
  vm: () => pulumi.Resource;
  /** VM that is backed up whole. */
  vmId: pulumi.Input<number>;
  /** Proxmox id of the storage. */
  storage: string;
  source: BackupStorageSource;
  /** systemd calendar event in the node's time zone. */
  schedule: pulumi.Input<string>;
  mode: pulumi.Input<"snapshot" | "suspend" | "stop">;
  /** Archives to keep; 0 leaves a rule out. */
  keepLast: number;
  keepDaily: number;
  keepWeekly: number;
  /** Proxmox template of the archive's notes. */
  notesTemplate: pulumi.Input<string>;
}

const TOKEN = "homelab:components:BackupPlan";

/** The storage of the NAS and the job that backs the VM up to it. Both protected: no backup, no system. */
export class BackupPlan extends pulumi.ComponentResource {
  /** Proxmox id of the job, for `homelab backup now`. */
  readonly jobId: pulumi.Output<string>;
  /** Proxmox id of the storage, known once it is there. */
  readonly storageId: pulumi.Output<string>;

  constructor(name: string, args: BackupPlanArgs, opts?: pulumi.ComponentResourceOptions) {
    super(TOKEN, name, {}, opts);

    const storage = createStorage(`${name}-storage`, args, { parent: this, protect: true });
    const job = new proxmoxve.backup.Job(
      `${name}-job`,
      {
        resourceId: "homelab",
        enabled: true,
        schedule: args.schedule,
        storage: args.storage,
        vmids: [pulumi.output(args.vmId).apply(String)],
        mode: args.mode,
        compress: "zstd",
        pruneBackups: keepRules(args),
        notesTemplate: args.notesTemplate,
        // A node that was off at the time makes up for it.
        repeatMissed: true,
      },
      { parent: this, protect: true, dependsOn: whenDeclared(() => [args.vm(), ...(storage ? [storage] : [])]) },
    );
    this.jobId = job.resourceId;
    this.storageId = storage?.id ?? pulumi.output(args.storage);
    this.registerOutputs({ jobId: this.jobId });
  }
}

/** After the running part of the program. */
async function whenDeclared(resources: () => pulumi.Resource[]): Promise<pulumi.Resource[]> {
  await Promise.resolve();
  return resources();
}

function createStorage(
  name: string,
  { storage, source }: BackupPlanArgs,
  opts: pulumi.CustomResourceOptions,
): pulumi.CustomResource | undefined {
  switch (source.type) {
    case "directory":
      return new proxmoxve.storage.Directory(
        name,
        { resourceId: storage, path: source.path, contents: ["backup"], shared: true },
        opts,
      );
    case "nfs":
      return new proxmoxve.storage.Nfs(
        name,
        {
          resourceId: storage,
          server: source.server,
          export: source.export,
          contents: ["backup"],
          ...(source.options === undefined ? {} : { options: source.options }),
        },
        opts,
      );
    case "existing":
      return undefined;
  }
}

function keepRules({ keepLast, keepDaily, keepWeekly }: BackupPlanArgs): Record<string, string> {
  const rules = { "keep-last": keepLast, "keep-daily": keepDaily, "keep-weekly": keepWeekly };
  return Object.fromEntries(
    Object.entries(rules)
      .filter(([, count]) => count > 0)
      .map(([rule, count]) => [rule, String(count)]),
  );
}
