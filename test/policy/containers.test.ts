import { items, type PolicyValue, UNKNOWN } from "../../policy/resource";
import { downloadsPinned } from "../../policy/rules/containers";
import { changed, committedFacts, committedResources, judge } from "./judged";

const production = committedResources("prod");
const facts = committedFacts("prod");
const CONTAINER = /:Container$/;
const IMAGE = /:RemoteImage$/;
const DIGEST = `sha256:${"0a".repeat(32)}`;

describe("images", () => {
  const advice = "Name a version in the service's file, such as postgres:15.8, then run: npm run homelab -- lock";
  test.each<[PolicyValue, string]>([
    ["postgres", "image postgres names no version"],
    ["registry.example.net:5000/postgres", "image registry.example.net:5000/postgres names no version"],
    ["postgres:latest", "image postgres:latest names no version, its tag latest moves"],
    [UNKNOWN, "its image is known only after the update"],
  ])("%p is refused", (name, cause) => {
    expect(judge(changed(production, "postgres-image", IMAGE, { properties: { name } }), facts)).toEqual([
      ["images-pinned", "postgres-image", `Unable to accept postgres-image: ${cause}. ${advice}`],
    ]);
  });

  test.each([
    "postgres:15",
    "registry.example.net:5000/postgres:15",
    `postgres:latest@${DIGEST}`,
    `postgres@${DIGEST}`,
  ])("%s is accepted", (name) => {
    expect(judge(changed(production, "postgres-image", IMAGE, { properties: { name } }), facts)).toEqual([]);
  });

  test("a container by the id of its image, by a moving tag, by an image that is pulled in this update", () => {
    const of = (image: string | typeof UNKNOWN) =>
      judge(changed(production, "postgres", CONTAINER, { properties: { image } }), facts);
    expect(of(DIGEST)).toEqual([]);
    expect(of(UNKNOWN)).toEqual([]);
    expect(of("postgres:edge")).toHaveLength(1);
  });

  test("a downloaded image without a checksum is a warning", () => {
    const says = (properties: Record<string, string>) =>
      changed(production, "docker-vm-image", /:File$/, { properties }).flatMap(
        (resource) => downloadsPinned.resource?.(resource, facts) ?? [],
      );
    expect(downloadsPinned.level).toBe("advisory");
    expect(says({})).toEqual([
      'docker-vm-image: "https://cloud.debian.org/images/cloud/bookworm/latest/debian-12-genericcloud-amd64.qcow2" is used ' +
        "unverified and may be another image tomorrow. " +
        "Set homelab:cloudImage's url to a dated image and checksum to its sha256:… or sha512:….",
    ]);
    expect(says({ checksum: "00" })).toEqual([]);
  });
});

describe("containers with the machine's power", () => {
  const text = (power: string): string =>
    `Unable to accept container "postgres": ${power}, which makes it as powerful as the machine's root. ` +
    "Remove that, or list {container: postgres, reason: …} under homelab:privilegedContainers in Pulumi.prod.yaml.";
  const socket = "/var/run/docker.sock";
  test.each<[Record<string, PolicyValue>, string]>([
    [{ privileged: true }, "it is privileged"],
    [{ volumes: [{ hostPath: socket, containerPath: socket }] }, `it mounts ${socket} of the machine`],
    [{ volumes: [{ hostPath: UNKNOWN }] }, "it mounts a path of the machine that is known only after the update"],
    [{ mounts: [{ type: "bind", source: "/run", target: "/run" }] }, "it mounts /run of the machine"],
    [{ mounts: [{ type: "bind", source: "/", target: "/host" }] }, "it mounts / of the machine"],
    [{ capabilities: { adds: ["CAP_SYS_ADMIN"] } }, "it has the capability SYS_ADMIN"],
  ])("%p", (properties, power) => {
    // Beside its own volume, which holds essential data.
    const own = { volumeName: "postgres-data", containerPath: "/var/lib/postgresql/data" };
    const volumes = [own, ...items(properties["volumes"])];
    const powerful = changed(production, "postgres", CONTAINER, { properties: { ...properties, volumes } });
    expect(judge(powerful, facts)).toEqual([["containers-contained", "postgres", text(power)]]);
    const listed = { privilegedContainers: [{ container: "postgres", reason: "It backs the machine up." }] };
    expect(judge(powerful, committedFacts("prod", listed))).toEqual([]);
    const another = { privilegedContainers: [{ container: "miniflux", reason: "Another." }] };
    expect(judge(powerful, committedFacts("prod", another))).toHaveLength(1);
  });

  test("other paths, mounts and capabilities are accepted", () => {
    const harmless = {
      mounts: [
        { type: "bind", source: "/srv/media", target: "/media" },
        { type: "tmpfs", source: "/", target: "/tmp" },
      ],
      capabilities: { adds: ["NET_BIND_SERVICE"] },
    };
    expect(judge(changed(production, "postgres", CONTAINER, { properties: harmless }), facts)).toEqual([]);
  });
});

describe("secrets", () => {
  const text = (found: string): string =>
    `Unable to accept miniflux: envs[0] holds ${found} in clear, which state and previews would show. ` +
    "Store it with pulumi config set --secret, name it in the service's file as {secret: …}, and renew it if it was ever committed.";
  test.each([
    ["DATABASE_URL=user=homelab password='correct horse'", "the value of homelab:postgresPassword"],
    ["X=planted-cloudflare-token", "the value of CLOUDFLARE_API_TOKEN"],
    ["ADMIN_PASSWORD=easy", "the variable ADMIN_PASSWORD"],
    ["KEY=-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA", "a private key"],
    ["T=root@pam!iac=11111111-2222-3333-4444-555555555555", "a Proxmox API token"],
    ["DB=postgres://homelab:easy@postgres/miniflux", "a password in a URL"],
  ])("%j", (variable, found) => {
    const clear = changed(production, "miniflux", CONTAINER, { properties: { envs: [variable] } });
    const verdicts = judge(clear, facts);
    expect(verdicts).toEqual([["no-secret-in-clear", "miniflux", text(found)]]);
    expect(JSON.stringify(verdicts)).not.toMatch(/easy|correct horse|planted|AAAA|1111/);
  });

  test("a plain variable whose container hides its variables", () => {
    const labels = [{ label: "homelab.env.ADMIN_PASSWORD", value: "easy" }];
    expect(judge(changed(production, "miniflux", CONTAINER, { properties: { labels } }), facts)).toEqual([
      ["no-secret-in-clear", "miniflux", text("the variable ADMIN_PASSWORD").replace("envs[0]", "labels[0].label")],
    ]);
  });

  test.each(["ADMIN_PASSWORD_FILE=/run/secrets/admin", "DB=postgres://postgres/miniflux", "ADMIN_PASSWORD="])(
    "%s is accepted",
    (variable) => {
      expect(judge(changed(production, "miniflux", CONTAINER, { properties: { envs: [variable] } }), facts)).toEqual(
        [],
      );
    },
  );
});
