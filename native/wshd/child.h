/* The first process of the container, from its birth to the moment it listens. */
#ifndef WSHD_CHILD_H
#define WSHD_CHILD_H

#include "options.h"
#include "ownership.h"
#include "plan.h"
#include "reserve.h"
#include "root.h"

struct child {
  const struct options *options;
  const struct plan *plan;
  int channel;  /* to the launcher: it says "go", we report */
  int listener; /* bound, not yet listening */
  /*
   * of init, but made by the host's root: the kernel counts what it watches for whoever made it, and root
   * inside, who is init's user then, could use up what there is for that one
   */
  int epoll;
  struct dev dev; /* root_make_dev() */
  int settings;   /* root_assemble() */
  struct ownership ownership;
  struct reserve reserve;
  int users;             /* user namespace of the container, or -1 */
  const char *job_score; /* of oom_score_adj, for jobs */
  int argc;
  char **argv; /* its memory becomes the process title */
};

#define CHILD_BACKLOG 64

/*
 * Waits for the launcher: "go" once the network is attached, "ok" once the daemon knows that init is ready.
 * -1: it died.
 */
int child_await(int channel, const char *expected);
/* Fresh null devices of this process's own /dev, so that no descriptor of another tree stays open. */
int child_null_streams(void);
void child_set_title(const struct child *child);
void child_clear_environment(void);
/*
 * Leaves open: the standard streams, listener and channel, which become 3 and 4, and those of the reserve, if
 * any, which become 5 and 6.
 */
int child_keep_only(struct child *child);

/* Builds everything, says "ready" and serves as init. Answers only when that failed, with the exit status. */
int child_main(struct child *child);

#endif
