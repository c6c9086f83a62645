/*
 * A container as the kernel makes it, with nothing around: what `create`, `run` and `destroy` cost at least.
 */
#ifndef FLOOR_CONTAINER_H
#define FLOOR_CONTAINER_H

#include <stdint.h>
#include <sys/types.h>

struct settings {
  const char *directory; /* containers' directories are made here */
  const char *rootfs;
  const char *name; /* of the nftables table and the parent control groups */
};

struct container {
  uint32_t number;
  pid_t init;
  int channel; /* connected to the init's socket */
};

enum program { RUN_TRUE, RUN_SHELL };

/* Each answers 0 or -errno. On failure nothing is left but, at worst, directories. */
int container_create(const struct settings *settings, uint32_t number, struct container *container);
/*
 * Starts the program with three descriptors of ours, reads its output to the end, and waits for its status.
 */
int container_run(const struct container *container, enum program program, int *status);
int container_destroy(const struct settings *settings, struct container *container);

/* init.c: process 1. `channel` tells the maker how far it is. */
struct plan {
  const struct settings *settings;
  uint32_t number;
  int channel;
};
_Noreturn void init_main(const struct plan *plan);
/* Words on the channel. */
#define WORD_GO 'g'    /* to init: the network is attached */
#define WORD_USERS 'u' /* from init: in its user namespace; to init: the maps are written */
#define WORD_READY 'r' /* from init: it listens */

#endif
