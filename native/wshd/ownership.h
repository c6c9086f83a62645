/*
 * Whose the image's files are: on the host, those whom the container's map of ids says; and files of the
 * image's own unprivileged user belong, in the container, to the container's (spec linux-container.md 5.5).
 * Where the kernel can, a mapped mount shows the read-only base so: nothing is copied, however many files
 * there are. Elsewhere they are changed one by one. No program of the image has a part in it.
 */
#ifndef WSHD_OWNERSHIP_H
#define WSHD_OWNERSHIP_H

#include "plan.h"

struct ownership {
  bool known;                  /* the image has been asked */
  bool differs;                /* some files have other owners than on the disk */
  struct id_map users, groups; /* from ids on the disk to ids of the host */
  int mapping;                 /* a user namespace for mount_setattr(2), -1: none */
};

/*
 * In the launcher, which sees its children in /proc: asks the image that the first mount shows, and makes the
 * mapping if it is needed. `users` is the container's own user namespace, or -1.
 */
void ownership_prepare(struct ownership *ownership, const struct plan *plan, int users);

/*
 * Once the root is assembled: asks it, where the image was not to be found before. Whether its user has other
 * numbers.
 */
bool ownership_ask(struct ownership *ownership, const struct plan_user *user, int root);

/*
 * A detached copy of the mount at `path`, read-only, that shows the new owners; -1 where the kernel cannot.
 */
int ownership_mapped(const struct ownership *ownership, const char *path);

/* Changes what lies in `directory`, an open one, and in the same mount below. Reports its failure. */
int ownership_change(const struct ownership *ownership, int directory);

/* Changes that one directory, by any descriptor. Answers -1 with errno. */
int ownership_change_one(const struct ownership *ownership, int directory);

/*
 * The lower directory in the options of an overlay, if there is just one; NULL otherwise. The caller frees
 * it.
 */
char *ownership_overlay_base(const char *data);

/*
 * All of them, the uppermost first, NULL behind the last; NULL: no overlay, or no memory. One piece of
 * memory, which the caller frees.
 */
char **ownership_overlay_layers(const char *data);

/* The same options with another lower directory, or several with colons between them; NULL without memory. */
char *ownership_overlay_rebased(const char *data, const char *lower);

#endif
