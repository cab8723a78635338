import type { LayerRecipe } from "../recipe";

/** Path of every image: no image has a folder of its own in it except where its recipe says so. */
export const BASE_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** Programs of util-linux that need libraries of their own; of that package the images need `setpriv`. */
const UNWANTED_TOOLS =
  "findmnt lsblk lscpu lsipc lslocks lslogins lsmem lsns mount mountpoint partx prlimit su umount wdctl"
    .split(" ")
    .flatMap((name) => [`bin/${name}`, `usr/bin/${name}`]);

/**
 * Debian 12, as little of it as a shell script needs: pulls are slow on an emulated CPU, so all images share this layer.
 * Packages are only unpacked; what their installation scripts would do and the images need is in `finish`.
 */
export const BASE_LAYER: LayerRecipe = {
  name: "base",
  packages: [
    "base-files",
    "base-passwd",
    "bash",
    "busybox",
    "ca-certificates",
    "coreutils",
    "dash",
    "findutils",
    "grep",
    "hostname",
    "libacl1",
    "libattr1",
    "libc-bin",
    "libc6",
    "libcap-ng0",
    "libgcc-s1",
    "libgmp10",
    "libpcre2-8-0",
    "libselinux1",
    "libtinfo6",
    "ncurses-base",
    "netbase",
    "sed",
    "tzdata",
    "util-linux",
  ],
  exclude: [
    ...UNWANTED_TOOLS,
    "usr/share/man",
    "usr/share/info",
    "usr/share/locale",
    "usr/share/lintian",
    "usr/share/bash-completion",
    "usr/share/doc/*/[!c]*",
    "usr/share/doc/*/changelog*",
    "usr/share/zoneinfo/right",
    "usr/share/zoneinfo/posix",
    "usr/lib/x86_64-linux-gnu/gconv/*",
    "usr/lib/x86_64-linux-gnu/audit",
    "usr/sbin/*",
    "sbin/*",
    "usr/bin/localedef",
  ],
  finish: `
    root=$1
    mkdir -p "$root"/proc "$root"/sys "$root"/dev "$root"/run "$root"/tmp "$root"/var/tmp "$root"/root
    chmod 1777 "$root"/tmp "$root"/var/tmp
    ln -sf dash "$root"/usr/bin/sh
    # Without it initdb reads every time zone to find out which one is meant.
    ln -sf /usr/share/zoneinfo/Etc/UTC "$root"/etc/localtime
    cp "$root"/usr/share/base-passwd/passwd.master "$root"/etc/passwd
    cp "$root"/usr/share/base-passwd/group.master "$root"/etc/group
    cp "$root"/usr/share/libc-bin/nsswitch.conf "$root"/etc/nsswitch.conf
    find "$root"/usr/share/ca-certificates/mozilla -name '*.crt' | LC_ALL=C sort | xargs cat >"$root"/etc/ssl/certs/ca-certificates.crt
    # The engine starts most containers as root; these programs must not raise anyone else.
    find "$root" -xdev -type f -perm /6000 -exec chmod ug-s {} +
  `,
};
