#!/bin/busybox sh
# The first process of the virtual machine. It makes a root out of the machine's own files, shared
# read-only, with a tmpfs over them for what is written, and goes on there with /run/crabcan-vm.
# xtask's `vm/initramfs.rs` packs this file.

b=/bin/busybox
die() { echo "crabcan-vm: $*" >/dev/console; $b poweroff -f; }

$b mkdir -p /proc /dev /machine /written /new || die "no root to begin with"
$b mount -t devtmpfs devtmpfs /dev || die "no /dev"
$b mount -t proc proc /proc || die "no /proc"
exec </dev/console >/dev/console 2>&1

# In the order of their names: each after those that it needs.
for module in /modules/*; do $b insmod "$module" || die "no module $module"; done

$b mount -t virtiofs -o ro machine /machine || die "the machine's files are not shared"
$b mount -t tmpfs -o mode=0755 written /written || die "no tmpfs"
$b mkdir /written/upper /written/work
layers=lowerdir=/machine,upperdir=/written/upper,workdir=/written/work
$b mount -t overlay -o "$layers" root /new || die "no overlay"

# The clone of this project may be in a place that is covered below.
workspace=$($b cat /crabcan-vm/workspace)
$b mkdir /workspace
$b mount -o bind "/new$workspace" /workspace || die "no $workspace"

# What is written in numbers, or must be id-mapped or a layer itself, is on a disk: a tmpfs can be
# neither before Linux 6.3, and an overlay's upper layer is no overlay.
$b mkdir -p /new/mnt
$b mount -t ext4 /dev/vda /new/mnt || die "no disk"
for place in tmp var/tmp var/lib/containers var/lib/docker var/lib/containerd; do
    $b mkdir -p "/new/mnt/$place" "/new/$place"
    $b mount -o bind "/new/mnt/$place" "/new/$place" || die "no /$place"
done
$b chmod 1777 /new/tmp /new/var/tmp
[ -d "/new$workspace" ] || {
    $b mkdir -p "/new$workspace"
    $b mount -o bind /workspace "/new$workspace" || die "no $workspace"
}
$b umount /workspace

$b mount -o move /proc /new/proc || die "no /proc"
$b mount -o move /dev /new/dev || die "no /dev"
$b mount -t sysfs sysfs /new/sys || die "no /sys"
$b mount -t cgroup2 -o nsdelegate cgroup2 /new/sys/fs/cgroup || die "no cgroup2"
$b mount -t tmpfs -o mode=0755,nosuid,nodev tmpfs /new/run || die "no /run"
$b mkdir -p /new/dev/pts /new/dev/shm /new/run/lock
$b mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts /new/dev/pts || die "no /dev/pts"
$b mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs /new/dev/shm || die "no /dev/shm"

# The machine's own disks and first boot are none of this one's business.
: >/new/etc/fstab
$b rm -f /new/.dockerenv
echo 0123456789abcdef0123456789abcdef >/new/etc/machine-id
$b cp -r /crabcan-vm /new/run/crabcan-vm || die "no job"
$b ifconfig lo 127.0.0.1 up

if [ -d /units ]; then
    $b mkdir -p /new/run/systemd
    $b cp -r /units /new/run/systemd/system || die "no units"
    # As arguments: the kernel's command line has no word for them where systemd is told otherwise.
    exec $b switch_root /new /lib/systemd/systemd --unit=crabcan-vm.service --show-status=error
fi
exec $b switch_root /new /bin/sh /run/crabcan-vm/job
