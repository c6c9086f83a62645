/* Assembles the new root and makes it the only one. Each function reports its own failure and answers -1. */
#ifndef WSHD_ROOT_H
#define WSHD_ROOT_H

#include "ownership.h"
#include "plan.h"

/*
 * A detached tmpfs with the device nodes. Where mknod(2) is forbidden (a container in a container) some are
 * empty files, over which root_assemble() binds the host's.
 */
struct dev {
  int tree; /* -1: none */
  bool lacks_nodes;
};

/* Before the launcher joins the device group, which may forbid mknod(2). */
struct dev root_make_dev(const struct plan *plan);

/* Mounts everything at `directory` in the caller's own mount namespace, with the image's files as `ownership`
 * has them; answers an O_PATH descriptor of the new root. Files made from then on belong to the container's
 * root, see identity_act(). `settings` becomes one of /proc/sys of the container's own /proc, which can be
 * written by it whatever is read-only inside. */
int root_assemble(const struct plan *plan, const char *directory, const struct dev *dev,
                  struct ownership *ownership, int *settings);

/*
 * Performs the operator's bind mounts (those with x-warden.create), the last ones because they may lie
 * anywhere.
 */
int root_bind(const struct plan *plan, int root, int users);

/* Makes `root` the root and lets the old one go. */
int root_pivot(int root);

/*
 * Makes `root` the root and leaves the old one at /mnt; answers a descriptor of the old one, with which
 * root_forget() lets it go.
 */
int root_pivot_keeping(int root);
int root_forget(int old);

/*
 * While the old root is there, no program of the new one may be started, whoever asks for it: the kernel
 * refuses by mount flag, also to load an interpreter or a library from it. Answers what root_allow_programs()
 * takes back, NULL on failure.
 */
int *root_forbid_programs(const struct plan *plan, int root);
int root_allow_programs(const struct plan *plan, int *quiet);

#endif
