#!/bin/sh
# mmdebstrap customize hook. $1 is the guest's root; this directory's rootfs/ has been copied into it already.
set -eu
root=$1

# Units that cost boot time and do nothing for a guest with one network card and one disk.
for unit in systemd-networkd-wait-online.service cloud-config.service cloud-final.service cloud-init.service \
  cloud-init-hotplugd.socket cloud-init-hotplugd.service serial-getty@ttyS0.service getty@tty1.service getty-static.service \
  apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer \
  systemd-pstore.service systemd-binfmt.service systemd-firstboot.service systemd-hwdb-update.service \
  systemd-machine-id-commit.service systemd-pcrphase.service systemd-pcrphase-sysinit.service systemd-repart.service \
  systemd-ask-password-console.path systemd-ask-password-wall.path proc-sys-fs-binfmt_misc.automount \
  dev-hugepages.mount dev-mqueue.mount sys-fs-fuse-connections.mount sys-kernel-debug.mount sys-kernel-tracing.mount \
  remote-fs.target ifupdown-pre.service systemd-network-generator.service apparmor.service; do
  ln -sf /dev/null "$root/etc/systemd/system/$unit"
done
mkdir -p "$root/etc/systemd/system-generators"
for generator in cloud-init-generator netplan systemd-cryptsetup-generator systemd-debug-generator systemd-getty-generator \
  systemd-gpt-auto-generator systemd-hibernate-resume-generator systemd-integritysetup-generator systemd-rc-local-generator \
  systemd-run-generator systemd-system-update-generator systemd-sysv-generator systemd-veritysetup-generator \
  systemd-bless-boot-generator; do
  ln -sf /dev/null "$root/etc/systemd/system-generators/$generator"
done


# Rules for hardware that a guest hasn't: udev evaluates every rule for every device.
mkdir -p "$root/etc/udev/rules.d"
for rules in 50-firmware 55-dm 60-autosuspend 60-cdrom_id 60-drm 60-fido-id 60-infiniband 60-persistent-alsa \
  60-persistent-input 60-persistent-storage-dm 60-persistent-storage-tape 60-persistent-v4l 60-sensor 60-serial 64-btrfs \
  66-azure-ephemeral 70-camera 70-joystick 70-memory 70-mouse 70-touchpad 75-probe_mtd 78-sound-card 85-hwclock \
  95-dm-notify; do
  ln -sf /dev/null "$root/etc/udev/rules.d/$rules.rules"
done

rm -rf "$root/etc/systemd/system/cloud-init.target.wants"
chroot "$root" systemctl enable --quiet cloud-init-local.service homelab-hosts.service systemd-networkd.service \
  docker.service containerd.service ssh.service

echo 'LABEL=homelab-root / ext4 noatime 0 0' >"$root/etc/fstab"
rm -f "$root/etc/resolv.conf" # of the building machine; homelab-hosts writes the guest's

# Identity is made at the first boot.
rm -f "$root"/etc/ssh/ssh_host_* "$root"/var/lib/systemd/random-seed "$root"/var/lib/dbus/machine-id
: >"$root/etc/machine-id"
echo localhost >"$root/etc/hostname"
: >"$root/etc/hosts"

# Never used in this guest, and in every backup of it.
rm -rf "$root"/usr/share/i18n "$root"/usr/bin/dnet "$root"/usr/sbin/ovrouter \
  "$root"/usr/bin/containerd-shim "$root"/usr/bin/containerd-shim-runc-v1 "$root"/usr/bin/containerd-stress "$root"/usr/bin/ctr \
  "$root"/usr/lib/udev/hwdb.d "$root"/usr/lib/udev/hwdb.bin "$root"/var/cache/apt/*.bin "$root"/var/lib/apt/lists/* \
  "$root"/var/cache/debconf/*-old "$root"/var/log/*.log "$root"/var/log/apt

# cloud-init does without these (JSON schema warnings, Jinja templates in user data), and importing them is slow.
for package in jsonschema jinja2 pyrsistent attr attrs pygments rich markdown_it; do
  rm -rf "$root/usr/lib/python3/dist-packages/$package"
done
