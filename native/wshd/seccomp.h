/*
 * The system-call filter of everything inside a container.
 *
 * What it lets through is at most what the default profile of moby lets through for a container without extra
 * capabilities, less io_setup(2) (its counter belongs to the whole host), process_vm_readv/writev(2) and
 * socket families other than AF_UNIX, AF_INET, AF_INET6 and the routing protocol of AF_NETLINK. Calls of
 * another architecture (i386 and x32 on x86_64) kill the process: their numbers mean something else.
 *
 * Nor can anybody change the limits, the priority or the scheduling of process 1: whoever is root inside has
 * the same uid as init, which is all the kernel asks for.
 *
 * Refused calls fail with EPERM; calls newer than this list, clone3(2) and io_setup(2) with ENOSYS, which
 * makes programs take the older way.
 */
#ifndef WSHD_SECCOMP_H
#define WSHD_SECCOMP_H

#include <linux/filter.h>
#include <stdbool.h>
#include <stddef.h>

#define SECCOMP_PROGRAM_MAX 1024

struct seccomp_rules {
  /* the limit of core files is what it is for good, and whoever sets it is told that it has been done */
  bool no_core_dumps;
  /* without a user namespace: what the kernel forbids in one, of what would go around a disk limit */
  bool on_host_users;
};

/*
 * Writes the program; answers its length, or 0 when `room` instructions, or the eight bits of a jump, are not
 * enough.
 */
size_t seccomp_program(struct sock_filter *program, size_t room, const struct seccomp_rules *rules);

/*
 * Puts the filter on the calling process and all it will start, for good. Needs no_new_privs or
 * CAP_SYS_ADMIN. Answers -1 with errno.
 */
int seccomp_install(const struct seccomp_rules *rules);

#endif
