/* The link and the rules of a container, by raw netlink. */
#ifndef FLOOR_NETWORK_H
#define FLOOR_NETWORK_H

#include <stdint.h>
#include <sys/types.h>

/* One table for all: a set of interfaces, a verdict map, a default chain that refuses. */
int network_setup(const char *table);
int network_remove_table(const char *table);
/* After a fork: answers on a shared socket would go to whoever reads first. */
int network_own_sockets(void);
/*
 * In the host's namespace: rules, then the pair with its far end in the namespace of `pid`, up and with its
 * address.
 */
int network_attach(const char *table, uint32_t number, pid_t pid);
int network_detach(const char *table, uint32_t number);
/* In the container's namespace: loopback, address, route. */
int network_inside(uint32_t number);

#endif
