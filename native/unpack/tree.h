/*
 * A tree that is made below one directory, which is this process's whole world. Paths are walked one name at
 * a time and no link is ever followed, so what an archive says can only change the tree itself.
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

/*
 * Of so many directories of a path the descriptors are kept; what lies deeper, which only an archive that
 * means harm has, is walked anew.
 */
#define TREE_LEVELS_MAX 128
/*
 * How many directories may be opened by name on the way to entries: so many for each entry of an archive or a
 * tree, on the average, and so many more. Entries that follow each other are beside or near each other, so a
 * real image takes two or three; without a bound a small archive could be one that takes hours.
 */
#define TREE_STEPS_PER_ENTRY 64
#define TREE_STEPS_SPARE 500000

struct tree {
  int root;
  uint64_t bytes, bytes_max;
  uint64_t entries, entries_max;
  uint64_t records; /* entries that an archive has, whatever became of them */
  uint64_t skipped; /* devices and attributes that were left out */
  uint64_t steps;   /* directories that were opened on the way to entries */
  /* the mark for that is on the root itself, where the kernel's union does not look for it */
  bool hides_below;
  /*
   * the directory of the last entry and those above it, from the root's child down: most entries are near
   * each other
   */
  int above[TREE_LEVELS_MAX];
  size_t above_count;
  int deeper;    /* the directory of the last entry, if it is deeper than those; else -1 */
  bool is_stale; /* they may not be in the tree any more */
  char parent_path[TREE_PATH_MAX];
};

struct owner {
  uint32_t uid, gid;
};

/*
 * Opens the directory of `path`'s last name and points `name` to it (in a buffer that lasts until the next
 * call). With `make`, directories that are missing are made, and what stands in the way of one is removed.
 * The name is empty for the root itself. -1 with the failure noted: `..`, a name or path that is too long,
 * more steps than there may be (ELOOP). The descriptor stays the tree's, and is good until the next call.
 */
int tree_parent(struct tree *tree, const char *path, bool make, const char **name);

bool tree_is_out_of_steps(const struct tree *tree);

/*
 * Counts an entry with so many bytes of content, of which a disk has whole blocks. -1: more than there may
 * be.
 */
int tree_charge(struct tree *tree, uint64_t bytes);
/* Counts content of an entry that was counted already. */
int tree_charge_content(struct tree *tree, uint64_t bytes);
/* Counts an entry of an archive, also one that makes nothing. -1: more than there may be. */
int tree_count_record(struct tree *tree);
/* Closes the descriptors that are remembered. */
void tree_forget(struct tree *tree);

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
