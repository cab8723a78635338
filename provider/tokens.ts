/** Type tokens of the homelab provider. A token never changes: it is a resource's identity in the state. */

export const PROVIDER_NAME = "homelab";

export const CHECK_ACCESS = "homelab:index:checkAccess";

export const LOOKUP_RESTORE_POINT = "homelab:drill:lookupRestorePoint";

export const LOOKUP_CONTAINERS = "homelab:prod:lookupContainers";

export const DRILL_TOKENS = {
  lease: "homelab:drill:Lease",
  restoredVm: "homelab:drill:RestoredVm",
  guestBoot: "homelab:drill:GuestBoot",
  isolationControl: "homelab:drill:IsolationControl",
  isolationProbe: "homelab:drill:IsolationProbe",
  serviceCheck: "homelab:drill:ServiceCheck",
  guestContainers: "homelab:drill:GuestContainers",
  recoveryPoint: "homelab:drill:RecoveryPoint",
  verdict: "homelab:drill:Verdict",
} as const;

export const PROD_TOKENS = {
  readiness: "homelab:prod:Readiness",
  proxyConfig: "homelab:prod:ProxyConfig",
  recordedRoot: "homelab:prod:RecordedRoot",
} as const;
