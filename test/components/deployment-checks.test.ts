import { checksOf } from "../../components/checks-from-catalogue";
import { configurationDigest } from "../../components/deployed-service";
import { newerThanArchive, type DeployedCode } from "../../components/deployment-checks";
import { checkSpecSchema } from "../../provider/contract/checks";
import type { ServiceSpec } from "../../services/spec";

const ARCHIVE_TIME = Date.parse("2026-11-20T02:00:00Z") / 1000;
const spec: ServiceSpec = {
  name: "web",
  purpose: "Answers.",
  image: "nginx:1.29",
  environment: { A: "1", B: { secret: "password" } },
  data: "none",
};
const code: DeployedCode = { image: "nginx:1.29", recorded: record("2026-11-01T00:00:00Z") };

function record(firstCreatedAt: string): NonNullable<DeployedCode["recorded"]> {
  return { image: "nginx:1.29", configuration: "sha256:1", createdAt: "2026-11-02T00:00:00Z", firstCreatedAt };
}

test("a service whose code is known is compared with the archive", () => {
  const checks = checksOf(spec, { zone: "example.net", archiveTime: ARCHIVE_TIME, code: new Map([["web", code]]) });
  const check = checkSpecSchema.parse(checks[1]);
  expect(check).toEqual({
    kind: "deployment",
    name: "image and configuration are what was deployed",
    container: "web",
    image: "nginx:1.29",
    configuration: configurationDigest(spec, undefined),
    archiveTime: ARCHIVE_TIME,
    deployed: { image: "nginx:1.29", configuration: "sha256:1", at: "2026-11-02T00:00:00Z" },
  });
});

describe("the digest of a configuration", () => {
  const digest = configurationDigest(spec, "www.example.net");

  test.each<[string, ServiceSpec, string | undefined]>([
    ["a variable", { ...spec, environment: { ...spec.environment, A: "2" } }, "www.example.net"],
    ["a command", { ...spec, command: ["serve"] }, "www.example.net"],
    ["a volume", { ...spec, volumes: [{ volume: "v", path: "/v" }] }, "www.example.net"],
    ["the host name", spec, "other.example.net"],
  ])("changes with %s", (_, changed, hostName) => {
    expect(configurationDigest(changed, hostName)).not.toBe(digest);
  });

  test("does not change with the order of keys, the image or the checks", () => {
    const environment = { B: { secret: "password" }, A: "1" };
    const changed: ServiceSpec = { ...spec, environment, image: "nginx:2", purpose: "Other.", smokeTests: [] };
    expect(configurationDigest(changed, "www.example.net")).toBe(digest);
  });
});

test.each([
  ["2026-11-20T02:00:01Z", /^first deployed at 2026-11-20T02:00:01Z, after the archive \(2026-11-20T02:00:00.000Z\)/],
  ["2026-11-20T02:00:00Z", undefined],
])("a service first deployed at %s", (first, excuse) => {
  const answer = newerThanArchive({ ...code, recorded: record(first) }, ARCHIVE_TIME);
  if (excuse === undefined) expect(answer).toBeUndefined();
  else expect(answer).toMatch(excuse);
});

test("a service of which nothing is recorded must be in the archive", () => {
  expect(newerThanArchive({ image: "nginx:1.29" }, ARCHIVE_TIME)).toBeUndefined();
  expect(newerThanArchive(undefined, ARCHIVE_TIME)).toBeUndefined();
});
