/* Where a copy goes: what rsync does with the path of its destination. */
#ifndef COPY_TARGET_H
#define COPY_TARGET_H

#include <stdbool.h>

#include "place.h"
#include "protocol.h"

struct target {
  int directory;                /* open */
  bool is_made;                 /* it was not there before */
  char name[COPY_NAME_MAX + 1]; /* the source's new name in it; empty: it keeps its own */
};

/*
 * `is_single`: one file, link or empty directory is to come. `is_directory`: it is a directory. Makes only
 * the last component. Answers -1 with errno and what was done when it failed. The host's directories in
 * `forbidden` (NULL at the end) refuse with EPERM.
 */
int target_open(struct target *target, const struct place *place, const char *path, bool is_single,
                bool is_directory, const char *const *forbidden, const char **operation);

/*
 * Whether something may be made, or gone on with, under this name in an open directory that is allowed
 * itself. Answers -1 with EPERM where it is a directory in `forbidden`.
 */
int target_check_entry(int directory, const char *name, const char *const *forbidden);

#endif
