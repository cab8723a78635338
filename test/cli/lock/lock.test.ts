import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import os from "node:os";
import path from "node:path";
import { lockImages } from "../../../cli/lock/lock";
import { locationOf } from "../../../cli/lock/registry";
import type { ServiceSpec } from "../../../services/spec";

const DIGEST = `sha256:${"a".repeat(64)}`;
const OTHER = `sha256:${"b".repeat(64)}`;

describe("where an image lies", () => {
  test.each([
    ["postgres:15", "https://registry-1.docker.io", "library/postgres", "15"],
    ["miniflux/miniflux:2.2", "https://registry-1.docker.io", "miniflux/miniflux", "2.2"],
    ["docker.io/library/caddy:2", "https://registry-1.docker.io", "library/caddy", "2"],
    ["ghcr.io/a/b/c:v1", "https://ghcr.io", "a/b/c", "v1"],
    ["nas.lan:5000/a:1", "https://nas.lan:5000", "a", "1"],
    ["localhost:5000/a:1", "http://localhost:5000", "a", "1"],
  ])("%s", (reference, registry, repository, tag) => {
    expect(locationOf(reference)).toEqual({ registry, repository, tag });
  });

  test("a reference without a tag is refused", () => {
    expect(() => locationOf("nas.lan:5000/a")).toThrow('"nas.lan:5000/a" has no tag');
  });
});

describe("homelab lock", () => {
  let server: Server;
  let host: string;
  let folder: string;
  let file: string;
  let digests: Record<string, string>;
  let redirects: Record<string, string>;
  /** The token that each redirecting path has got. */
  let sentTo: Record<string, string | undefined>;

  beforeEach(async () => {
    redirects = {};
    sentTo = {};
    digests = { "/v2/team/app/manifests/1.0": DIGEST, "/v2/other/manifests/2": OTHER };
    // A registry that wants an anonymous token for exactly the repository that is asked for, as Docker Hub does.
    server = createServer((request, response) => {
      const url = new URL(request.url ?? "/", `http://${host}`);
      const location = redirects[url.pathname];
      if (location !== undefined) {
        sentTo[url.pathname] = request.headers.authorization;
        response.writeHead(307, { location }).end();
        return;
      }
      if (url.pathname === "/token") {
        response.end(JSON.stringify({ token: `for ${url.searchParams.get("scope") ?? ""}` }));
        return;
      }
      const repository = /^\/v2\/(.+)\/manifests\//.exec(url.pathname)?.[1] ?? "";
      const scope = `repository:${repository}:pull`;
      const digest = digests[url.pathname];
      if (request.headers.authorization !== `Bearer for ${scope}`) {
        const challenge = `Bearer realm="http://${host}/token",service="test",scope="${scope}"`;
        response.writeHead(401, { "www-authenticate": challenge }).end();
      } else if (digest === undefined || !String(request.headers.accept).includes("oci.image.index")) {
        response.writeHead(404).end();
      } else {
        response.writeHead(200, { "docker-content-digest": digest }).end();
      }
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    folder = mkdtempSync(path.join(os.tmpdir(), "lock-"));
    file = path.join(folder, "images.lock.json");
  });
  afterEach(async () => {
    rmSync(folder, { recursive: true });
    await new Promise((resolve) => server.close(resolve));
  });

  function catalogue(...images: string[]): ServiceSpec[] {
    return images.map((image) => ({ name: "x", image }) as ServiceSpec);
  }

  test("writes the digest of each tag once and leaves images with a digest out", async () => {
    const app = `${host}/team/app:1.0`;
    const lines = await lockImages({ file, catalogue: catalogue(app, app, `${host}/other:2@${OTHER}`) });
    expect(JSON.parse(readFileSync(file, "utf8"))).toEqual({ lockVersion: 1, images: { [app]: DIGEST } });
    expect(lines).toEqual([`${app} is locked to ${DIGEST}`]);
  });

  test("says what moved, what stayed and what went", async () => {
    const [app, other] = [`${host}/team/app:1.0`, `${host}/other:2`];
    await lockImages({ file, catalogue: catalogue(app, other) });
    digests["/v2/team/app/manifests/1.0"] = OTHER;
    expect(await lockImages({ file, catalogue: catalogue(app) })).toEqual([
      `${app} moved from ${DIGEST} to ${OTHER}`,
      `${other} is no longer used`,
    ]);
    expect(await lockImages({ file, catalogue: catalogue(app) })).toEqual([`${app} is as before`]);
  });

  test("names every image that can't be resolved and leaves the file as it was", async () => {
    writeFileSync(file, '{ "lockVersion": 1, "images": {} }');
    const images = catalogue(`${host}/team/app:1.0`, `${host}/none:1`, `localhost:1/gone:1`);
    const error = await lockImages({ file, catalogue: images }).catch((thrown: unknown) => thrown as Error);
    expect((error as Error).message).toMatch(
      new RegExp(
        `^Unable to lock 2 of 3 images; .*images.lock.json stays as it was.\n` +
          `- ${host}/none:1 \\(${host}\\): the registry answered 404: there is no such image or tag\n` +
          `- localhost:1/gone:1 \\(localhost:1\\): .*ECONNREFUSED.*\nCorrect the references in services/`,
      ),
    );
    expect(readFileSync(file, "utf8")).toBe('{ "lockVersion": 1, "images": {} }');
  });

  test("follows a registry that only points to another one, and takes no token back to it", async () => {
    const other = host.replace("127.0.0.1", "localhost");
    redirects["/v2/front/app/manifests/1.0"] = `http://${host}/v2/team/app/manifests/1.0`;
    const front = `${other}/front/app:1.0`;
    await lockImages({ file, catalogue: catalogue(front) });
    expect(JSON.parse(readFileSync(file, "utf8"))).toEqual({ lockVersion: 1, images: { [front]: DIGEST } });
    expect(sentTo).toEqual({ "/v2/front/app/manifests/1.0": undefined });
  });

  test("a registry that points in circles is given up", async () => {
    redirects["/v2/loop/manifests/1"] = "/v2/loop/manifests/1";
    await expect(lockImages({ file, catalogue: catalogue(`${host}/loop:1`) })).rejects.toThrow(
      `${host}/loop:1 (${host}): too many redirects, the last one to http://${host}/v2/loop/manifests/1`,
    );
  });
});
