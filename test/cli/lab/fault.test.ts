import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type FaultArgs, switchFault } from "../../../cli/lab/fault";
import { labPaths } from "../../../cli/lab/paths";
import { startControl } from "../../../lab/faults/control";
import { Faults } from "../../../lab/faults/faults";

describe("homelab lab fault", () => {
  let dir: string;
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), "homelab-fault-"));
  });
  afterEach(() => rmSync(dir, { recursive: true }));

  const type = (args: Partial<FaultArgs>): Promise<string[]> =>
    switchFault({ paths: { ...labPaths("unit"), dir }, off: false, scope: {}, ...args });

  test("switches on and off in the running lab, and tells what there is", async () => {
    const faults = new Faults();
    await using control = await startControl(faults, dir);
    expect(control).toBeDefined();
    expect((await type({})).filter((line) => !line.startsWith("off  "))).toEqual([]);
    const lines = await type({ name: "api-500", scope: { times: 2 } });
    expect(lines[0]).toBe(
      "on   api-500, times 2; met 0 times: the API answers with an error that means nothing in particular",
    );
    expect(faults.onCall("GET", "/version")?.name).toBe("api-500");
    await type({ name: "api-500", off: true });
    expect(faults.list()).toEqual([]);
    await type({ name: "disk-full" });
    await type({ name: "off" });
    expect(faults.list()).toEqual([]);
  });

  test("says what it can't do", async () => {
    await using control = await startControl(new Faults(), dir);
    expect(control).toBeDefined();
    await expect(type({ name: "api-501" })).rejects.toThrow(
      /^Unable to switch the fault "api-501": there is none of this name\. Expected: api-401, .*, or off\.$/,
    );
    await expect(type({ name: "disk-full", scope: { storage: "nas" } })).rejects.toThrow(
      "Unable to switch on the fault disk-full: storage: means nothing for this fault, which takes vm, after, times.",
    );
  });

  test("a lab that does not run is said to be the cause", async () => {
    await expect(type({})).rejects.toThrow(
      /^Unable to speak to the lab "unit": connect ENOENT .*control\.sock\. It must be running: npm start -- --keep/,
    );
  });
});
