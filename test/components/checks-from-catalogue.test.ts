import { checksOf, hostNameOf, type CheckContext } from "../../components/checks-from-catalogue";
import { checkSpecSchema } from "../../provider/contract/checks";
import { loadCatalogue } from "../../services/catalogue";
import type { ServiceSpec } from "../../services/spec";

const service: ServiceSpec = {
  name: "web",
  purpose: "Answers.",
  image: "nginx:1.29",
  route: { host: "www", containerPort: 80, exposure: "lan" },
  data: "none",
};

const context: CheckContext = { zone: "example.net", archiveTime: 1_700_000_000, code: new Map() };

test("a service without tests is checked by its container", () => {
  expect(checksOf(service, context)).toEqual([
    { kind: "container", name: "container is running", container: "web", hasHealthCheck: false },
  ]);
});

test("an HTTP test goes to the service's own name, with the recorded root", () => {
  const test: ServiceSpec["smokeTests"] = [{ kind: "http", name: "answers", path: "/", expectStatus: 204 }];
  const checks = checksOf(
    { ...service, smokeTests: test },
    { ...context, reverseProxy: "proxy", rootCertificatePem: "PEM" },
  );
  expect(checks[1]).toEqual({
    kind: "http",
    name: "answers",
    hostName: "www.example.net",
    containers: ["proxy", "web"],
    path: "/",
    expectStatus: 204,
    rootCertificatePem: "PEM",
  });
});

test("every check of the project's catalogue is one that the provider accepts", () => {
  const catalogue = loadCatalogue();
  const checks = catalogue.flatMap((spec) => checksOf(spec, context));
  expect(checks.map((check) => checkSpecSchema.safeParse(check).error)).toEqual(checks.map(() => undefined));
  expect(checks.map(({ kind }) => kind).sort()).toEqual([...Array<string>(4).fill("container"), "http", "sql", "sql"]);
});

test("a service without a route has no host name", () => {
  expect(hostNameOf({ ...service, route: undefined }, "example.net")).toBeUndefined();
});
