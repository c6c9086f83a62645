/*
 * The directories from the root of a copy down to where it is. Only the deepest are open; the others are
 * found again by `..`, and known again by their identity: whoever moves a directory meanwhile ends the copy
 * and leads it nowhere.
 */
#ifndef COPY_LEVELS_H
#define COPY_LEVELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "failure.h"

#define LEVELS_OPEN 64
#define LEVEL_BUFFER 32768

struct level {
  int fd;
  uint32_t mode; /* receiver: what it gets in the end */
  dev_t device;
  ino_t inode;
  bool is_named; /* it stands in the path, after what was there before */
  size_t before;
  /* sender: entries that were read and not yet sent, and where in the directory the next one is */
  char *entries;
  uint32_t at, end;
  int64_t position;
};

struct levels {
  struct level *list;
  size_t depth, room;
  size_t path_length; /* of the whole path, of which `path` holds the beginning */
  char path[FAILURE_PATH_MAX];
};

void levels_init(struct levels *levels, const char *path);
/*
 * Takes the last component off the path, before the first push: what is made comes in the directory that
 * holds it, under a name of its own.
 */
void levels_to_parent(struct levels *levels);
void levels_free(struct levels *levels);

/* Owns `fd`. NULL with errno: deeper than COPY_DEPTH_MAX (ELOOP), no memory. */
struct level *levels_push(struct levels *levels, int fd, const char *name, const struct stat *facts);
/* -1 with errno ESTALE: the directory above is not the one it was. */
int levels_pop(struct levels *levels);
struct level *levels_top(struct levels *levels);

/* Names the top level's path for a failure, as long as it fits. */
const char *levels_path(struct levels *levels);

#endif
