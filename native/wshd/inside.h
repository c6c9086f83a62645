/*
 * What init sets up in its own namespaces besides the mounts. Each function reports its own failure and
 * answers -1. `settings` is the /proc/sys of the container's own /proc.
 */
#ifndef WSHD_INSIDE_H
#define WSHD_INSIDE_H

#include "plan.h"

/*
 * What System V objects of the container's own namespace may hold, where /dev/shm is limited: the one would
 * be a way around the other.
 */
int inside_ipc(const struct plan *plan, int settings);

/* Loopback, and the container's interface with address, permanent neighbour and default route. */
int inside_network(const struct plan *plan, int settings);

/* Writes hosts, resolv.conf and what else the plan lists; the sources are paths of the host. */
int inside_files(const struct plan *plan, int root);

/* Makes or renumbers the unprivileged user, its group and its home. Runs no program of the root. */
int inside_user(const struct plan *plan, int root);

#endif
