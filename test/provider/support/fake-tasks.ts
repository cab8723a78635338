/** The tasks of `FakePve`. */
import { Refusal } from "./refused-call";

export interface FakeTask {
  upid: string;
  type: string;
  vmId: number;
  startTime: number;
  running: boolean;
  exitStatus: string;
}

/** What `/nodes/{node}/tasks` and below answers. */
export function answerOfTasks(
  tasks: readonly FakeTask[],
  method: string,
  path: string,
  parameters: URLSearchParams,
): unknown {
  const [, upid, rest] = /^\/nodes\/pve\/tasks\/(UPID:[^/]*)(.*)$/.exec(path) ?? [];
  if (upid === undefined) {
    const vmId = Number(parameters.get("vmid"));
    return tasks
      .filter((task) => task.vmId === vmId)
      .map(({ upid: id, type, startTime, running }) => ({
        ...{ upid: id, type, id: String(vmId), user: "root@pam", starttime: startTime },
        ...(running ? {} : { endtime: startTime + 1 }),
      }));
  }
  const task = tasks.find((candidate) => candidate.upid === upid);
  if (task === undefined) throw new Refusal(400, "Parameter verification failed.", { upid: "no such task" });
  if (method === "DELETE") {
    task.running = false;
    task.exitStatus = "interrupted by signal";
    return null;
  }
  if (rest === "/log") return [{ n: 1, t: `TASK ERROR: ${task.exitStatus}` }];
  return task.running ? { status: "running" } : { status: "stopped", exitstatus: task.exitStatus };
}
