/* The first thing that went wrong, and how many did: a copy goes on with the next file. */
#ifndef COPY_FAILURE_H
#define COPY_FAILURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FAILURE_PATH_MAX 4096

struct failure {
  int error; /* 0: nothing failed */
  uint64_t count;
  char operation[64];
  char path[FAILURE_PATH_MAX];
};

/* Keeps the first. `directory` and `name` are joined; either may be empty. */
void failure_note(struct failure *failure, int error, const char *operation, const char *directory,
                  const char *name);

/* Whether going on makes no sense: the disk is full or broken, or nothing can be opened any more. */
bool failure_is_fatal(int error);

#endif
