import { join } from "node:path";
import { pulumiIn as pulumiOfAdopt } from "../../cli/adopt/adopt";
import { problemIn, pulumiIn } from "../../cli/drill/pulumi";
import { errorsIn, violationsIn } from "../../cli/pulumi-errors";

/** As Pulumi 3.259 prints it; test/policy/pulumi.lab.test.ts reads the real one. */
const OUTPUT = `
 +  pulumi:pulumi:Stack homelab-drill create 1 error
Policies:
    ❌ homelab@v0.1.0 (local: /repo/policy/homelab-policies)
        - [advisory]  downloads-pinned  (proxmoxve:download:File: image)
          image is used unverified.
        - [mandatory]  drill-apart  (cloudflare:index:DnsRecord: rss)
          Unable to accept rss in the drill: a drill makes nothing but its own VM.
        - [mandatory]  stateful-protected  (proxmoxve:index:VmLegacy: other)
          Unable to accept other: it is not protected.

Diagnostics:
  pulumi:pulumi:Stack (homelab-drill):
    error: preview failed

Resources:
    + 1 to create
`;

test("mandatory policies are the cause of a failed command, advisory ones are not", () => {
  expect(errorsIn(OUTPUT)).toEqual(["preview failed"]);
  const violations = [
    "Unable to accept rss in the drill: a drill makes nothing but its own VM.",
    "Unable to accept other: it is not protected.",
  ];
  expect(violationsIn(OUTPUT)).toEqual(violations);
  expect(problemIn({ code: 1, output: OUTPUT })).toBe(violations.join(" "));
});

test("an output without policies has no violations", () => {
  expect(violationsIn(OUTPUT.replace("Policies:", "Other:"))).toEqual([]);
});

const WAYS: [string, (folder: string) => Promise<unknown>][] = [
  ["drill, restore, sweep", (folder) => pulumiIn(folder)(["version"])],
  ["adopt", (folder) => pulumiOfAdopt(folder, new AbortController().signal)(["version"])],
];

test.each(WAYS)("no pulumi on the PATH is said with what to do: %s", async (_, start) => {
  const path = process.env["PATH"];
  process.env["PATH"] = __dirname;
  try {
    await expect(start(__dirname)).rejects.toThrow(
      "Unable to run pulumi: there is no pulumi on the PATH. Install the Pulumi CLI, or use the lab's shell (npm run homelab -- lab shell).",
    );
  } finally {
    process.env["PATH"] = path;
  }
});

test.each(WAYS)("a project folder that is not there is not taken for a missing pulumi: %s", async (_, start) => {
  const missing = join(__dirname, "no-such-folder");
  await expect(start(missing)).rejects.toThrow(
    `Unable to run pulumi in ${missing}: there is no such folder. Put the project back, or go to where it is now.`,
  );
});
