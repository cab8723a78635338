import { ContainerWatch, type Look, parseStates, upState } from "../../provider/checks/containers";

const line = (name: string, status: string): string => `/${name}\t${status}\t\t0\t137\t2026-11-20T02:00:00Z`;

test("checks that wait side by side share one look", async () => {
  const looks: string[][] = [];
  const watch = new ContainerWatch(async (names) => {
    looks.push([...names]);
    return { states: parseStates(names.map((name) => line(name, "running")).join("\n")) };
  });
  await Promise.all([watch.look("a"), watch.look("b"), watch.look("a")]);
  await watch.look("c");
  expect(looks).toEqual([["a", "b"], ["c"]]);
});

test("a look that failed fails for everybody who waited, and the next one is made", async () => {
  let isBroken = true;
  const watch = new ContainerWatch(async () => {
    if (isBroken) throw new Error("no agent");
    return { problem: "docker is starting" };
  });
  await expect(Promise.all([watch.look("a"), watch.look("b")])).rejects.toThrow("no agent");
  isBroken = false;
  expect(await watch.look("a")).toEqual({ problem: "docker is starting" });
});

test("a container that stays stopped is final, one that starts again is not", async () => {
  let now = 0;
  const clock = jest.spyOn(performance, "now").mockImplementation(() => now);
  let status = "exited";
  const watch = new ContainerWatch(async (): Promise<Look> => ({ states: parseStates(line("a", status)) }));
  const attempt = async (): Promise<unknown> => upState("a", await watch.look("a"));
  expect(await attempt()).toEqual({ attempt: { lastSeen: "container a is exited with exit code 137" } });
  now = 19_000;
  status = "restarting";
  await attempt();
  now = 21_000;
  status = "exited";
  expect(await attempt()).toHaveProperty("attempt.lastSeen");
  now = 42_000;
  expect(await attempt()).toEqual({
    attempt: { outcome: { status: "failed", detail: "container a is exited with exit code 137" } },
  });
  clock.mockRestore();
});
