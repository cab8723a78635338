/** `/cluster/replication`: the lab's node has no other to replicate to, so there is never a job. */
import { EVERYBODY } from "../../privileges/permission-check";
import { handler } from "../../router";

export const replicationHandlers = [
  handler({
    method: "GET",
    path: "/cluster/replication",
    permissions: EVERYBODY,
    parameters: {},
    returns: "array",
    handle: () => [],
  }),
];
