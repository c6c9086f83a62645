/*
 * A tree that is made below one directory, which is this process's whole world. Paths are walked one name at a time and no link is ever followed, so
 * what an archive says can only change the tree itself.
 */
#ifndef UNPACK_TREE_H
#define UNPACK_TREE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <time.h>

#define TREE_PATH_MAX 4096
#define TREE_NAME_MAX 255
#define XATTR_VALUE_MAX 65536

struct tree {
  int root;
  uint64_t bytes, bytes_max;
  uint64_t entries, entries_max;
  uint64_t skipped; /* devices and attributes that were left out */
  /* the directory of the last entry: most are beside each other */
  int parent;
  char parent_path[TREE_PATH_MAX];
};

struct owner {
  uint32_t uid, gid;
};

/*
 * Opens the directory of `path`'s last name and points `name` to it (in a buffer that lasts until the next call). With `make`, directories that are missing are
 * made, and what stands in the way of one is removed. The name is empty for the root itself. -1 with the failure noted: `..`, a name or path that is too
 * long. The descriptor stays the tree's.
 */
int tree_parent(struct tree *tree, const char *path, bool make, const char **name);

/* Counts. -1: more than there may be. */
int tree_charge(struct tree *tree, uint64_t bytes);

/* Makes way: whatever has this name goes. `was_whiteout`: it only hid something. */
int tree_clear(struct tree *tree, int directory, const char *name, bool *was_whiteout);
/* The content of a directory goes. */
int tree_empty(struct tree *tree, int directory);
bool is_whiteout(const struct stat *facts);

/* A directory of that name, new or as it was: a descriptor. */
int tree_directory(struct tree *tree, int directory, const char *name);

/* For the kernel's union: hides what lies below. */
int tree_whiteout(int directory, const char *name);
int tree_make_opaque(int directory);

/* Whether an attribute may be in an image at all. */
bool xattr_is_admitted(const char *name);

/* Owner, mode and time, in the order in which the kernel keeps them. */
int tree_finish(int fd, struct owner owner, uint32_t mode, const struct timespec *modified);

#endif
