/* The first process of the container, from its birth to the moment it listens. */
#ifndef WSHD_CHILD_H
#define WSHD_CHILD_H

#include "options.h"
#include "ownership.h"
#include "plan.h"

struct child {
  const struct options *options;
  const struct plan *plan;
  int channel;  /* to the launcher: it says "go", we report */
  int listener; /* bound, not yet listening */
  int dev;      /* root_make_dev() */
  struct ownership ownership;
  int argc;
  char **argv; /* its memory becomes the process title */
};

/* Builds everything, says "ready" and serves as init. Answers only when that failed, with the exit status. */
int child_main(struct child *child);

#endif
