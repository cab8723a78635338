/** Every call by which a drill may change anything in Proxmox. Tests compare what was really called with this list. */

/** A call that is no GET, and how it must be tied to the drill's VMID. */
export interface AllowedCall {
  readonly method: "POST" | "PUT" | "DELETE";
  /** PVE's path template. */
  readonly path: string;
  /**
   * Where the VMID stands that must be the drill's: in the path, in the parameter `vmid`, or as the id in the UPID of the task
   * that is stopped.
   */
  readonly vmIdIn: "path" | "parameter" | "upid";
}

/** The list, `up` and `destroy` together. */
export const DRILL_CALLS: readonly AllowedCall[] = [
  { method: "POST", path: "/nodes/{node}/qemu", vmIdIn: "parameter" },
  { method: "POST", path: "/nodes/{node}/qemu/{vmid}/status/start", vmIdIn: "path" },
  { method: "POST", path: "/nodes/{node}/qemu/{vmid}/status/stop", vmIdIn: "path" },
  { method: "POST", path: "/nodes/{node}/qemu/{vmid}/agent/ping", vmIdIn: "path" },
  { method: "POST", path: "/nodes/{node}/qemu/{vmid}/agent/exec", vmIdIn: "path" },
  { method: "DELETE", path: "/nodes/{node}/qemu/{vmid}", vmIdIn: "path" },
  { method: "DELETE", path: "/nodes/{node}/tasks/{upid}", vmIdIn: "upid" },
];
