/** What is taken from a container that runs: equal where it is as declared, different where it is not. */
import { type InspectedContainer, type InspectedImage, realInputs } from "../../../cli/adopt/container";

const IMAGE: InspectedImage = {
  Id: "sha256:aa",
  Config: {
    Env: ["PATH=/usr/bin", "LANG=C"],
    Labels: { "org.opencontainers.image.title": "web" },
    Volumes: { "/cache": {} },
  },
};

/** As Docker 20.10 answers for the plan below. */
const CONTAINER: InspectedContainer = {
  Id: "0123456789abcdef0123",
  Name: "/web",
  Image: "sha256:aa",
  Config: {
    Hostname: "0123456789ab",
    Env: ["SECRET=s", "LANG=de", "PATH=/usr/bin"],
    Labels: { "homelab.service": "web", "homelab.data": "none", "org.opencontainers.image.title": "web" },
    Healthcheck: { Test: ["CMD", "true"] },
  },
  HostConfig: { PortBindings: { "80/tcp": [{ HostIp: "", HostPort: "8080" }] } },
  Mounts: [
    { Type: "volume", Name: "a".repeat(64), Source: "/x", Destination: "/cache", RW: true },
    { Type: "volume", Name: "web-data", Source: "/y", Destination: "/data", RW: true },
  ],
  NetworkSettings: { Networks: { homelab: { Aliases: ["web", "0123456789ab"] } } },
};

const PLAN = {
  name: "web",
  image: "unknown",
  envs: "[secret]",
  labels: [
    { __defaults: [], label: "homelab.data", value: "none" },
    { __defaults: [], label: "homelab.service", value: "web" },
  ],
  volumes: [{ __defaults: [], containerPath: "/data", volumeName: "web-data" }],
  networksAdvanced: [{ __defaults: [], aliases: ["web"], name: "homelab" }],
  ports: [{ __defaults: [], external: 8080, internal: 80, protocol: "tcp" }],
  healthcheck: { tests: ["CMD", "true"] },
  wait: true,
};

const DECLARED = new Set(["SECRET", "LANG"]);

function real(changes: Partial<InspectedContainer> = {}, plan: Record<string, unknown> = PLAN) {
  return realInputs(plan, { ...CONTAINER, ...changes }, IMAGE, DECLARED);
}

test("a container as declared gives the plan, with image and variables filled in and nothing that only the image brings", () => {
  expect(real()).toEqual({ ...PLAN, image: "sha256:aa", envs: ["LANG=de", "SECRET=s"] });
});

test("a variable that the code sets is kept where the image says the same; one that no one declares shows", () => {
  const config = { ...CONTAINER.Config, Env: ["LANG=C", "PATH=/usr/bin", "EXTRA=1"] };
  expect(real({ Config: config })["envs"]).toEqual(["EXTRA=1", "LANG=C"]);
});

test("another label, volume, network, or a bind mount shows", () => {
  expect(real({ Config: { ...CONTAINER.Config, Labels: { "homelab.service": "other" } } })["labels"]).toEqual([
    { __defaults: [], label: "homelab.service", value: "other" },
  ]);
  const bind = { Type: "bind", Source: "/srv", Destination: "/data", RW: false };
  expect(real({ Mounts: [bind] })["volumes"]).toEqual([
    { __defaults: [], containerPath: "/data", hostPath: "/srv", readOnly: true },
  ]);
  const networks = { NetworkSettings: { Networks: { bridge: { Aliases: null } } } };
  expect(real(networks)["networksAdvanced"]).toEqual([{ __defaults: [], aliases: [], name: "bridge" }]);
});

test("a missing health check shows, and a port that nobody declared", () => {
  expect(real({ Config: { ...CONTAINER.Config, Healthcheck: undefined } })).not.toHaveProperty("healthcheck");
  expect(real({}, { ...PLAN, ports: [] })["ports"]).toEqual([
    { __defaults: [], internal: 80, external: 8080, protocol: "tcp", ip: "0.0.0.0" },
  ]);
  expect(real({ HostConfig: {} }, { ...PLAN, ports: [] })["ports"]).toEqual([]);
});
