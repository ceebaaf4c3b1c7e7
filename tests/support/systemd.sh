#!/bin/sh
# A systemd of the test's own, as process 1 of its own namespaces: systemd.sh DIR, with the units in DIR/units.
#
# The machine's own processes, mounts, network and settings are out of its reach: its mounts are private, /proc/sys and
# /sys are read-only, /run, /dev and /var/lib are its own, and its control groups end below one that is made for it. It
# tells NOTIFY_SOCKET when it is up. It ends with this process.
set -eu
dir=$1
if [ "${2-}" != inside ]; then
    for root in /sys/fs/cgroup/unified /sys/fs/cgroup; do
        [ -e $root/cgroup.procs ] && [ -e $root/cgroup.controllers ] && break
    done
    group=$root/incumbent-test-$$
    mkdir "$group"
    echo $$ > "$group/cgroup.procs"
    exec unshare --mount --pid --net --uts --ipc --cgroup --fork --kill-child --propagation private \
        "$0" "$dir" inside
fi
mount -t proc proc /proc
mount --bind /proc/sys /proc/sys
mount -o remount,bind,ro /proc/sys
mkdir "$dir/dev"
mount -t tmpfs tmpfs "$dir/dev"
for node in null zero full random urandom tty; do
    : > "$dir/dev/$node"
    mount --bind /dev/$node "$dir/dev/$node"
done
for node in console kmsg; do
    : > "$dir/dev/$node"
    mount --bind /dev/null "$dir/dev/$node"
done
mkdir "$dir/dev/shm"
ln -s /proc/self/fd "$dir/dev/fd"
mount --rbind "$dir/dev" /dev
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /var/lib
umount -l /sys
mount -t sysfs -o ro sysfs /sys
mount -t cgroup2 cgroup2 /sys/fs/cgroup
ip link set lo up 2> /dev/null || true
export container=other SYSTEMD_UNIT_PATH="$dir/units" PATH=/usr/sbin:/usr/bin:/sbin:/bin
systemd=/lib/systemd/systemd
[ -x $systemd ] || systemd=/usr/lib/systemd/systemd
exec setpriv --bounding-set -sys_boot,-sys_time,-sys_module $systemd --system --unit=default.target \
    --log-target=console
