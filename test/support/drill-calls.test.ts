import { forbiddenCalls } from "./drill-calls";

function call(method: string, path: string, params: Record<string, unknown> = {}) {
  return { at: "", method, path, params, status: 200 };
}

test("a drill's own calls pass, and the same calls on production do not", () => {
  const create = "/nodes/pve/qemu";
  const start = (vmId: number) => `/nodes/pve/qemu/${vmId}/status/start`;
  expect(forbiddenCalls([call("GET", "/anything"), call("POST", create, { vmid: "9200" })], 9200)).toEqual([]);
  expect(forbiddenCalls([call("POST", start(9200)), call("DELETE", "/nodes/pve/qemu/9200/")], 9200)).toEqual([]);
  expect(forbiddenCalls([call("POST", create, { vmid: 200 })], 9200)).toHaveLength(1);
  expect(forbiddenCalls([call("POST", start(200)), call("PUT", "/nodes/pve/qemu/9200/config")], 9200)).toEqual([
    "POST /nodes/pve/qemu/200/status/start (200) {}",
    "PUT /nodes/pve/qemu/9200/config (200) {}",
  ]);
});

test("a task may be stopped only when it is the drill's", () => {
  const stop = (id: string) => `/nodes/pve/tasks/UPID:pve:00000001:00000001:65000000:qmrestore:${id}:root@pam!lab:`;
  expect(forbiddenCalls([call("DELETE", stop("9200"))], 9200)).toEqual([]);
  expect(forbiddenCalls([call("DELETE", stop("200"))], 9200)).toHaveLength(1);
});
