/** What people do on a terminal: the lab's shell, and Ctrl-C. No machine runs. */
import { existsSync, rmSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { takeLabDown } from "../../../cli/lab/down";
import { labEnvironment } from "../../../cli/lab/environment";
import { createNamespace, namespaceExists } from "../../../cli/lab/namespace";
import { nodeCommand } from "../../../cli/lab/node-command";
import { labPaths } from "../../../cli/lab/paths";
import { processesOf } from "../../../cli/lab/processes";
import { CTRL_C, HANG_UP, onTerminal } from "../../support/terminal";

const ID = `tty${process.pid}`;
const paths = labPaths(ID);

afterEach(async () => {
  await takeLabDown(paths);
  rmSync(join("/tmp", `hold-lab-${ID}.log`), { force: true });
}, 60_000);

async function expectNothingLeft(): Promise<void> {
  expect(await processesOf(ID, paths.namespace)).toEqual([]);
  expect([namespaceExists(paths), existsSync(paths.dir), existsSync(paths.netnsDir)]).toEqual([false, false, false]);
}

test("the shell is in the lab, knows homelab, survives Ctrl-C and gives its exit code", async () => {
  await createNamespace(paths);
  for (const dir of [paths.project, paths.home, paths.bin]) await mkdir(dir, { recursive: true });
  await writeFile(join(paths.bin, "homelab"), "#!/bin/sh\necho this is homelab\n", { mode: 0o755 });
  const secrets = { apiToken: "root@pam!lab=0", cloudflareToken: "0", passphrase: "0" };
  const environment = labEnvironment({
    ...{ paths, pulumiBinDir: "/nonexistent", nodeAddress: "192.168.20.1", outer: process.env, ...secrets },
  });
  await writeFile(paths.environmentFile, JSON.stringify(environment));

  const command = nodeCommand("cli/main.ts", ["lab", "shell", "--id", ID]).join(" ");
  const prompt = `(lab ${ID})`;
  const { code, output } = await onTerminal(command, [
    { after: prompt, keys: "ip -o link | wc -l | sed 's/^/devices: /'; pwd; homelab\n" },
    // The quotes keep the typed line from being taken for what it prints; what prints already runs in the foreground.
    { after: "this is homelab", keys: "sh -c \"echo slee''ping; exec sleep 1000\"\n" },
    { after: "sleeping", keys: CTRL_C },
    { after: prompt, keys: "exit 7\n" },
  ]);
  expect(output).toContain("You are in the rehearsal lab");
  expect(output).toContain("devices: 1");
  expect(output).toContain(paths.project);
  expect(code).toBe(7);
  await takeLabDown(paths);
  await expectNothingLeft();
}, 60_000);

test("Ctrl-C takes the lab down with everything that runs in it, and says so", async () => {
  const command = nodeCommand("test/cli/lab/hold-lab.ts", [ID]).join(" ");
  const { code, output } = await onTerminal(command, [{ after: "held", keys: CTRL_C }]);
  expect(output).toMatch(/taking the lab down[^\n]*\n(.*\n)*.*Interrupted by SIGINT\./);
  expect(code).toBe(130);
  await expectNothingLeft();
}, 60_000);

test("a terminal that goes away takes the lab with it", async () => {
  const command = nodeCommand("test/cli/lab/hold-lab.ts", [ID]).join(" ");
  await onTerminal(command, [{ after: "held", keys: HANG_UP }]);
  for (const deadline = Date.now() + 20_000; existsSync(paths.dir) && Date.now() < deadline;) await sleep(50);
  await expectNothingLeft();
}, 60_000);
