/** The vendor's download with a site on the loopback. Not proven: that the real site serves what it is expected to. */
import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import * as path from "node:path";

import { checkVendorSite, downloadPulumi, findPulumi, isNewEnough } from "../../toolchain/vendor";
import { PULUMI_VERSION } from "../../toolchain/versions";

let dir: string;
let server: Server;
let archive: Buffer | undefined;
let requested: string[] = [];

beforeEach(async () => {
  dir = mkdtempSync(path.join(tmpdir(), "vendor-test-"));
  requested = [];
  server = createServer((request, response) => {
    requested.push(request.url ?? "");
    if (archive === undefined) response.writeHead(404).end();
    else response.end(archive);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
});
afterEach(() => {
  server.close();
  rmSync(dir, { recursive: true });
});

const site = (): string => `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
const silent = (): void => undefined;

function fakePulumi(folder: string, version: string): void {
  mkdirSync(folder, { recursive: true });
  writeFileSync(path.join(folder, "pulumi"), `#!/bin/sh\necho v${version}\n`);
  chmodSync(path.join(folder, "pulumi"), 0o755);
}

function packed(version: string): Buffer {
  fakePulumi(path.join(dir, "pack", "pulumi"), version);
  execFileSync("tar", ["-czf", path.join(dir, "pack.tar.gz"), "-C", path.join(dir, "pack"), "pulumi"]);
  return readFileSync(path.join(dir, "pack.tar.gz"));
}

it("unpacks the official archive of the pinned version", async () => {
  archive = packed(PULUMI_VERSION);
  await downloadPulumi(dir, silent, site());
  expect(requested).toEqual([`/releases/sdk/pulumi-v${PULUMI_VERSION}-linux-${process.arch}.tar.gz`]);
  expect(readFileSync(path.join(dir, "pulumi"), "utf8")).toContain(PULUMI_VERSION);
});

it("refuses an archive with another version", async () => {
  archive = packed("3.1.0");
  await expect(downloadPulumi(dir, silent, site())).rejects.toThrow(/says version 3\.1\.0/);
});

it("fails at once when the site has no archive or isn't there", async () => {
  archive = undefined;
  await expect(downloadPulumi(dir, silent, site())).rejects.toThrow(/answered 404/);
  await expect(checkVendorSite("http://127.0.0.1:1")).rejects.toThrow();
});

it("uses an installed Pulumi that is new enough, and never our own", async () => {
  const [old, good, own] = ["old", "good", "cache/bin"].map((name) => path.join(dir, name)) as [string, string, string];
  fakePulumi(old, "3.2.0");
  fakePulumi(good, PULUMI_VERSION);
  fakePulumi(own, PULUMI_VERSION);
  const cache = path.join(dir, "cache");
  expect(await findPulumi(cache, { PATH: `${own}:${good}` })).toEqual({ binDir: good, version: PULUMI_VERSION });
  expect(await findPulumi(cache, { PATH: `${old}:${good}` })).toBeUndefined();
  expect(await findPulumi(cache, { PATH: own })).toBeUndefined();
});

it.each([
  ["3.259.0", true],
  ["3.259.1", true],
  ["3.300.0", true],
  ["3.258.9", false],
  ["4.0.0", false],
])("calls version %s new enough for 3.259.0: %s", (version, expected) => {
  expect(isNewEnough(version, "3.259.0")).toBe(expected);
});
