#!/bin/busybox sh
# The whole initial ramdisk: load the disk drivers, find the root by its label, hand over. Debian's own initramfs runs udev
# and dozens of scripts for the same, which costs seconds on an emulated CPU.
export PATH=/bin
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
root=
for word in $(/bin/busybox cat /proc/cmdline); do
  case $word in root=*) root=${word#root=} ;; esac
done
while read -r module; do
  /bin/busybox insmod "/modules/$module" || echo "initramfs: unable to load $module"
done </modules/order
tries=0
until device=$(/bin/busybox findfs "$root" 2>/dev/null) && [ -b "$device" ]; do
  tries=$((tries + 1))
  if [ $tries -gt 300 ]; then
    echo "initramfs: unable to find the root file system $root on any disk: $(/bin/busybox ls /sys/class/block)"
    exec /bin/busybox poweroff -f
  fi
  /bin/busybox usleep 100000
done
if ! /bin/busybox mount -t ext4 -o rw,noatime "$device" /root; then
  echo "initramfs: unable to mount $device"
  exec /bin/busybox poweroff -f
fi
/bin/busybox mount --move /dev /root/dev
/bin/busybox umount /proc /sys
exec /bin/busybox switch_root /root /usr/lib/systemd/systemd
