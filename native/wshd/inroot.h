/*
 * Paths inside a root that somebody hostile may have prepared: every look-up is done by openat2(2) with
 * RESOLVE_IN_ROOT, so that neither `..` nor a symbolic link leads out.
 */
#ifndef WSHD_INROOT_H
#define WSHD_INROOT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* As openat(2) below `root`, which acts as `/`. O_CLOEXEC is added. */
int inroot_open(int root, const char *path, int flags, mode_t mode);

/*
 * Opens the directory that holds the last component of `path`, making missing directories (0755), and copies
 * that component to `name`.
 */
int inroot_parent(int root, const char *path, char *name, size_t size);

/* Opens `path` with O_PATH, making it first if it is missing: a directory, or an empty file. */
int inroot_make(int root, const char *path, bool directory);

/*
 * Replaces `path` by a new file of `mode`, less what the caller's umask takes: a link of that name is
 * replaced, not followed, and whoever has the old file open keeps it.
 */
int inroot_replace(int root, const char *path, mode_t mode, const char *content, size_t length);

/* Reads a regular file, at most `max` bytes, and terminates it. NULL with errno; the caller frees it. */
char *inroot_read(int root, const char *path, size_t max, size_t *length);

#endif
