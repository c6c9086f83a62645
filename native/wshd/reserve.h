/*
 * Processes that init may have beside the limit of its container.
 *
 * Init and the jobs are in one group, whose limit is the container's. The group around it has a limit that is
 * a little higher. When the container is full, init steps out into the space between the two for as long as
 * it takes to fork, and the new process steps in: entering a group is never refused. So a job can be started
 * that finds out what is wrong and ends it, and starting one costs nothing more while there is room.
 */
#ifndef WSHD_RESERVE_H
#define WSHD_RESERVE_H

#include <stdbool.h>
#include <sys/types.h>

struct reserve {
  int outside, inside; /* files of the two groups that take who writes `0`; -1: there is no reserve */
  bool is_out;         /* init could not come back: what it forks has to go inside by itself */
};

/*
 * As fork(2), from the reserve when the container is full. EAGAIN: that is used up, too, or there is none.
 * The child is inside.
 */
pid_t reserve_fork(struct reserve *reserve);

#endif
