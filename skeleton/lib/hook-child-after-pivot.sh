#!/bin/bash
#
# hook-child-after-pivot.sh: the container's root is in place, with /proc, /dev, network and users;
#   the last moment with all privileges
#
# Runs in: the container's namespaces and root, with the host's root at /mnt for as long as the hook runs.
#   No program of the image can be started here. A static shell of the host reads this file, whatever the first line
#   says; with busybox its own mount, mkdir, ln, hostname and so on are at hand, and `chroot /mnt PROGRAM` starts any
#   program of the host, which then sees the host's files and the container's network and host name.
# Working directory: the container's directory, below /mnt
# Environment: id network_host_ip network_container_ip network_netmask user_uid rootfs_path
#   allow_nested_warden container_iface_mtu dns_servers
# etc/config in the container's directory holds the same facts as key=value lines.
#
# Run only while it is executable and differs from the shipped one; a status other than 0, a death by signal, or more
# than drivers.hook_timeout seconds make the creation of the container fail with this hook's name and last words.
# What it prints is kept in run/wshd.out.log and run/wshd.err.log of the container, 64 KiB each.
# The container's copy is a hard link shared with other containers: replace the file, do not edit it in place.

set -o nounset -o errexit
