#!/bin/busybox sh
# The guest's first process: prepares the machine, runs /job.sh, powers off. The first console (ttyS0)
# has the kernel's messages; the second (hvc0) has this script's and the job's lines and nothing else, so
# that a kernel message never falls into the middle of a checksum.
export PATH=/sbin:/bin HOME=/root LC_ALL=C.UTF-8
mount -n -t proc proc /proc
mount -n -t sysfs sys /sys
mount -n -t devtmpfs dev /dev
mount -n -t tmpfs tmp /tmp
mount -n -t tmpfs run /run
mkdir -p /run/rpcbind /dev/shm
dmesg -n 7 # boot is over: from here on a message is about the test
modprobe virtio_pci
modprobe virtio_console
until (: </dev/hvc0) 2>/dev/null; do sleep 0.02; done # QEMU announces the port a moment later
exec </dev/hvc0 >/dev/hvc0 2>&1
stty raw -echo
modprobe virtio_net
modprobe nfsv3

# Addresses are fixed, and there is no default route: the guest reaches its host and nobody else.
hostname guest
for interface in all default eth0; do echo 0 >"/proc/sys/net/ipv6/conf/$interface/accept_dad"; done
for interface in all default eth0; do echo 0 >"/proc/sys/net/ipv6/conf/$interface/accept_ra"; done
ip link set lo up
ip link set eth0 up
ip address add 10.0.2.15/24 dev eth0
ip -6 address add fec0::15/64 dev eth0

ulimit -n 4096
cd /root
echo "=== guest up after $(cut -d ' ' -f 1 /proc/uptime) s"
/bin/sh /job.sh
echo "=== guest done, status $?"
poweroff -f
