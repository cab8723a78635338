import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync, statSync } from "node:fs";
import * as path from "node:path";

import { parse } from "yaml";

import { syslinuxConfig } from "../../../lab/images/disk-image";

const GUEST = path.join(__dirname, "../../../lab/images/guest");
const ROOTFS = path.join(GUEST, "rootfs");

function text(file: string): string {
  return readFileSync(path.join(GUEST, file), "utf8");
}

describe("the guest's files", () => {
  it("find the root file system by the label that the disk gets", () => {
    const label = /root=(LABEL=\S+)/.exec(syslinuxConfig())?.[1];
    expect(label).toBe("LABEL=homelab-root");
    expect(text("customize.sh")).toContain(`${label ?? ""} / ext4`);
  });

  it("log the boot to the serial port", () => {
    expect(syslinuxConfig()).toMatch(/APPEND .*\bconsole=ttyS0\b/);
  });

  it("let cloud-init read a NoCloud drive and nothing from the network", () => {
    const config = parse(text("rootfs/etc/cloud/cloud.cfg.d/90-homelab.cfg")) as Record<string, unknown>;
    expect(config["datasource_list"]).toEqual(["NoCloud", "None"]);
    expect(config["cloud_init_modules"]).toEqual(["set_hostname", "update_hostname", "users-groups", "ssh"]);
    expect(config["cloud_config_modules"]).toEqual([]);
    expect(config["cloud_final_modules"]).toEqual([]);
  });

  it("point the engine at the mirror that the host name script resolves", () => {
    const daemon = JSON.parse(text("rootfs/etc/docker/daemon.json")) as Record<string, unknown>;
    expect(daemon["registry-mirrors"]).toEqual(["http://mirror.homelab.internal:5000"]);
    expect(daemon["insecure-registries"]).toEqual(["mirror.homelab.internal:5000"]);
    expect(text("rootfs/usr/local/sbin/homelab-hosts")).toContain("$gateway mirror.homelab.internal");
  });

  it.each(["customize.sh", "initramfs-init.sh", "rootfs/usr/local/sbin/homelab-hosts"])(
    "%s is a valid script",
    (file) => {
      execFileSync("sh", ["-n", path.join(GUEST, file)]);
    },
  );

  it("may be executed where they are programs", () => {
    const folder = path.join(ROOTFS, "usr/local/sbin");
    for (const name of readdirSync(folder)) {
      expect([name, statSync(path.join(folder, name)).mode & 0o111]).toEqual([name, 0o111]);
    }
  });
});
