#!/bin/bash
#
# hook-child-before-pivot.sh: the root is assembled at mnt; the bind mounts of the
#   request follow; host paths can still be reached
#
# Runs in: the container's namespaces, still with the host's root
# Working directory: the container's directory
# Environment: id network_host_ip network_container_ip network_netmask user_uid rootfs_path
#   allow_nested_warden container_iface_mtu dns_servers
# etc/config in the container's directory holds the same facts as key=value lines.
#
# Run only while it is executable and differs from the shipped one; a status other than 0, a death by signal, or more
# than drivers.hook_timeout seconds make the creation of the container fail with this hook's name and last words.
# What it prints is kept in run/wshd.out.log and run/wshd.err.log of the container, 64 KiB each.
# The container's copy is a hard link shared with other containers: replace the file, do not edit it in place.

set -o nounset -o errexit
