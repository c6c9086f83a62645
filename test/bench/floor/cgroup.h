/* Control groups of a container: one group per hierarchy (v1) or one (v2), with limits. */
#ifndef FLOOR_CGROUP_H
#define FLOOR_CGROUP_H

/* Finds the hierarchies and makes a parent group of this name in each. */
int cgroup_setup(const char *prefix);
int cgroup_create(const char *prefix, unsigned number);
/*
 * By the process itself, while it has one thread: a parent that writes a number waits for an RCU grace
 * period.
 */
int cgroup_join(const char *prefix, unsigned number);
int cgroup_remove(const char *prefix, unsigned number);
void cgroup_remove_parents(const char *prefix);
int cgroup_count(void);

#endif
