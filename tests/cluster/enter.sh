#!/bin/sh
# enter.sh WORLD LAB NAME PROGRAM...: runs a program where a node's daemons may be started: in namespaces and a cgroup of its own, where no
# setting of this machine's kernel can be written.
set -e
hierarchies() {
    find /sys/fs/cgroup -mindepth 1 -maxdepth 1 -type d
}
if [ "$1" != inside ]; then
    world=$1 lab=$2 name=$3
    shift 3
    for hierarchy in $(hierarchies); do
        mkdir "$hierarchy/$name"
        # It has neither before it is given some.
        for file in cpuset.cpus cpuset.mems; do
            [ ! -e "$hierarchy/$name/$file" ] || cat "$hierarchy/$file" >"$hierarchy/$name/$file"
        done
        echo $$ >"$hierarchy/$name/cgroup.procs"
    done
    exec unshare --net --mount --pid --uts --ipc --cgroup --fork --kill-child --mount-proc \
        sh "$0" inside "$world" "$lab" "$name" "$@"
fi
world=$2 lab=$3 name=$4
shift 4
hostname node-1
ip link set lo up
# A kubelet refuses a node whose address is on loopback, by the address.
ip address add 10.77.0.1/32 dev lo
for hierarchy in $(hierarchies); do
    mount --bind "$hierarchy/$name" "$hierarchy"
done
# crun takes no cgroup2 with controllers beside hierarchies of version 1; the controllers that pods are limited by are there.
: >"$world/none"
mount --bind "$world/none" /sys/fs/cgroup/unified/cgroup.controllers
overlay() {
    mkdir -p "$world/$2" "$world/work-$2"
    mount -t overlay -o "lowerdir=$1,upperdir=$world/$2,workdir=$world/work-$2" clockgate-test "$3"
}
overlay "$lab/engines/usr:/usr" usr /usr
overlay "$lab/engines/etc:/etc" etc /etc
overlay /var/lib var-lib /var/lib
for folder in containerd kubelet; do
    mkdir -p "$world/$folder" "/var/lib/$folder"
    mount --bind "$world/$folder" "/var/lib/$folder"
done
for folder in /run /dev/shm /var/log; do
    mount -t tmpfs clockgate-test "$folder"
done
# Here nothing can be set; what a kubelet wants to be set is a file of ours, which says that it is.
mount --bind /proc/sys /proc/sys
mount -o remount,bind,ro /proc/sys
mkdir "$world/sys"
while read -r setting value; do
    file=$world/sys/$(echo "$setting" | tr / -)
    echo "$value" >"$file"
    mount --bind "$file" "/proc/sys/$setting"
done <<TXT
vm/overcommit_memory 1
vm/panic_on_oom 0
kernel/panic 10
kernel/panic_on_oops 1
kernel/keys/root_maxkeys 1000000
kernel/keys/root_maxbytes 25000000
TXT
# The first process of the namespace takes in what others leave behind.
"$@"
exit $?
