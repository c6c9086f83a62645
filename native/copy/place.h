/* Where paths of a role begin: the host's own tree, or a root below which every path stays. */
#ifndef COPY_PLACE_H
#define COPY_PLACE_H

#include <stdbool.h>
#include <sys/types.h>

struct place {
  int root;         /* -1: the host, paths as anybody's */
  const char *home; /* what relative paths are relative to, below `root` */
};

/* The process's own root: a container's. */
int place_own_root(struct place *place);
/* The directory `root` acts as `/`. */
int place_directory(struct place *place, const char *root);

/*
 * As open(2) with O_CLOEXEC. Below a root neither `..` nor a link leads out, and no link of /proc leads
 * anywhere.
 */
int place_open(const struct place *place, const char *path, int flags);

/*
 * Opens the directory that holds the last component of `path` and copies that to `name` (COPY_NAME_MAX + 1
 * bytes). `path` has no slash at its end. ENAMETOOLONG when the component is too long.
 */
int place_open_parent(const struct place *place, const char *path, char *name);

#endif
