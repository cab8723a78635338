import { checkDeployment, judgeDeployment, parseDeployed } from "../../provider/checks/deployment-check";
import type { CheckSpec } from "../../provider/contract/checks";
import type { Guest } from "../../provider/checks/guest";

type DeploymentCheck = Extract<CheckSpec, { kind: "deployment" }>;

const DIGEST = `sha256:${"a".repeat(64)}`;
const ARCHIVE = "2026-11-20T02:00:00.000Z";
const check: DeploymentCheck = {
  kind: "deployment",
  name: "as deployed",
  container: "web",
  image: `nginx:1.29@${DIGEST}`,
  digest: DIGEST,
  configuration: "sha256:new",
  archiveTime: Date.parse(ARCHIVE) / 1000,
  deployed: { image: `nginx:1.29@${DIGEST}`, configuration: "sha256:new", at: "2026-11-21T00:00:00Z" },
};
const same = { image: check.image, configuration: "sha256:new", digests: [DIGEST] };
const older = { ...same, configuration: "sha256:old" };

test("what is printed becomes containers with the digests of their images", () => {
  const text = [
    "container\t/web\tsha256:i1\tnginx:1.29\tsha256:c",
    "container\t/by-hand\tsha256:i2\t\t",
    `image\tsha256:i1\t${DIGEST}`,
    "image\tsha256:i2\t<none>",
    "",
  ].join("\n");
  expect(parseDeployed(text)).toEqual(
    new Map([
      ["web", { image: "nginx:1.29", configuration: "sha256:c", digests: [DIGEST] }],
      ["by-hand", { image: "", configuration: "", digests: [] }],
    ]),
  );
});

test("the same image with the locked digest and the same configuration pass", () => {
  expect(judgeDeployment(check, same)).toEqual({
    status: "passed",
    detail: `image ${check.image} with the locked digest and configuration are what the code says`,
  });
});

test("a deploy after the archive explains a difference: a finding", () => {
  const outcome = judgeDeployment(check, older);
  expect(outcome.status).toBe("passed");
  expect(outcome.finding).toBe(
    "container web: its configuration is another one than the code's. That was deployed at 2026-11-21T00:00:00Z, after the " +
      `archive (${ARCHIVE}). An emergency restore would bring the older one back.`,
  );
});

test.each<[string, Partial<DeploymentCheck>, Partial<typeof same>, string]>([
  [
    "a deploy before the archive",
    { deployed: { image: check.image, configuration: "sha256:new", at: "2026-11-19T00:00:00Z" } },
    { configuration: "sha256:old" },
    `It was deployed at 2026-11-19T00:00:00Z, before the archive (${ARCHIVE}): the backup is not of what was deployed`,
  ],
  [
    "code that was never deployed",
    { deployed: { image: check.image, configuration: "sha256:old", at: "2026-11-21T00:00:00Z" } },
    { configuration: "sha256:old" },
    "The code was not deployed as it stands: run pulumi up -s prod, or go back to what was deployed",
  ],
  [
    "no record",
    { deployed: undefined },
    { configuration: "sha256:old" },
    "There is no record of a deploy that would explain it",
  ],
  ["no labels", { deployed: undefined }, { image: "" }, "it carries no record of its deploy (labels homelab.*)"],
  [
    "another image",
    { deployed: undefined },
    { image: "nginx:1.28" },
    `its image is nginx:1.28, the code says ${check.image}`,
  ],
  [
    "another digest",
    { deployed: undefined },
    { digests: [`sha256:${"b".repeat(64)}`] },
    `its image has the digest sha256:${"b".repeat(64)}, locked is ${DIGEST}`,
  ],
])("%s is a failure", (_, changedCheck, changedContainer, text) => {
  const outcome = judgeDeployment({ ...check, ...changedCheck }, { ...same, ...changedContainer });
  expect(outcome.status).toBe("failed");
  expect(outcome.finding).toBeUndefined();
  expect(outcome.detail).toContain(text);
});

test("services that are checked side by side ask Docker once, and ask again after a silence", async () => {
  let calls = 0;
  const guest: Guest = {
    signal: new AbortController().signal,
    leftMs: () => 5000,
    run: async () => {
      calls += 1;
      if (calls === 1) return { exitCode: 1, stdout: "", stderr: "Cannot connect to the Docker daemon" };
      const stdout = `container\t/web\tsha256:i\t${check.image}\tsha256:new\nimage\tsha256:i\t${DIGEST}\n`;
      return { exitCode: 0, stdout, stderr: "" };
    },
  };
  const outcomes = await Promise.all([
    checkDeployment(guest, "run-1", check),
    checkDeployment(guest, "run-1", { ...check, container: "gone" }),
  ]);
  expect(outcomes.map(({ status }) => status)).toEqual(["passed", "failed"]);
  expect(outcomes[1].detail).toBe("container gone does not exist in the restored VM");
  expect(calls).toBe(2);
});
