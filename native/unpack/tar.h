/*
 * Reads a tar archive (POSIX ustar and pax, GNU long names and large numbers) from a descriptor, entry by
 * entry. Nothing in it is believed: every length is checked against what there is and against a bound. Sparse
 * files are refused: no tool makes layers of them.
 */
#ifndef UNPACK_TAR_H
#define UNPACK_TAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#define TAR_PATH_MAX 4096 /* with its zero */
#define TAR_PAX_MAX (1 << 20)
#define TAR_XATTRS_MAX 64

enum tar_type { TAR_FILE, TAR_HARD_LINK, TAR_SYMLINK, TAR_DIRECTORY, TAR_FIFO, TAR_DEVICE };

struct tar_xattr {
  const char *name; /* ends with a zero */
  const void *value;
  size_t size;
};

struct tar_entry {
  enum tar_type type;
  char path[TAR_PATH_MAX];
  char link[TAR_PATH_MAX];
  uint32_t mode, uid, gid;
  struct timespec modified;
  uint64_t size;
  struct tar_xattr xattrs[TAR_XATTRS_MAX];
  size_t xattr_count;
};

struct tar {
  int fd;
  uint64_t left, padding; /* of the current entry's content */
  size_t start, end;
  unsigned char buffer[1 << 16];
  char *pax; /* TAR_PAX_MAX + 1 bytes: what the entry's attributes point into */
};

/* -1: no memory. */
int tar_open(struct tar *tar, int fd);
void tar_close(struct tar *tar);

/*
 * The next entry: 1, 0 at the end, -1 with the failure noted. What is left of the last one's content is
 * skipped.
 */
int tar_next(struct tar *tar, struct tar_entry *entry);
/* Some of the content: how many bytes at `*data`, 0 at its end, -1. */
long tar_read(struct tar *tar, const unsigned char **data);
/* Reads what comes after the end, so that whoever writes is not interrupted. */
int tar_drain(struct tar *tar);

#endif
