/*
 * Whose files are whose: ids inside a container, ids on the host's disk, and the account that has another
 * number in each container.
 */
#ifndef UNPACK_ACCOUNTS_H
#define UNPACK_ACCOUNTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RANGES_MAX 8

struct range {
  uint32_t inside, outside, count;
};

struct swap {
  bool is_set;
  uint32_t container, image;
};

struct accounts {
  struct range ranges[RANGES_MAX]; /* none: the same inside and outside */
  size_t range_count;
  const char *name; /* NULL: no account */
  struct swap user, group;
};

/* `INSIDE:OUTSIDE:COUNT,...`, empty for none. */
bool accounts_parse(struct accounts *accounts, const char *text);

/*
 * Looks for the account's numbers in the layers below, the uppermost first; `uid` is the one in the
 * container, also of its group.
 */
int accounts_find(struct accounts *accounts, const char *name, uint32_t uid, const int *layers, size_t count);

/* From ids on the disk to those of the image. */
uint32_t accounts_uid(const struct accounts *accounts, uint32_t id);
uint32_t accounts_gid(const struct accounts *accounts, uint32_t id);
/* Whether a user's number on the disk is that of the container's root. */
bool accounts_is_root(const struct accounts *accounts, uint32_t id);

/*
 * The content of /etc/passwd (or, with `is_group`, /etc/group) with the account's number as it is in the
 * image. The result is allocated. NULL: as it is, or no memory.
 */
char *accounts_renumber(const struct accounts *accounts, const char *text, bool is_group);

/*
 * A regular file of at most `limit` bytes with a zero behind; NULL when there is none. The caller frees it.
 */
char *read_small(int directory, const char *name, size_t limit);

#endif
