/*
 * The launcher from the clone of the child to its own end (main.c has the picture).
 *
 * The child is born into the launcher's memory (clone(2), CLONE_VM), on a stack of its own, and keeps that
 * memory when the launcher has ended: no page tables are copied, no page is when one of both writes to it,
 * and none are taken down behind the launcher. Until the launcher has ended both run in one memory, so
 *
 *   - the launcher writes to its own stack only, and to what is no business of the child's (failpoints of its
 * own, identity_reap()), and calls the kernel without the C library (bare.h), since errno is the child's;
 *   - it sends what it has to say itself: where reports go (report.h) is the child's to change;
 *   - nobody inside gets hold of it, who could only by way of init's memory: that is closed to all without
 * rights on the host before init listens (PR_SET_DUMPABLE; the memory belongs to the host's user namespace,
 * where the launcher was executed).
 *
 * In want of memory the kernel ends both, which is what the death of one means for the other anyway.
 *
 * The child is forked where the launcher has more to do than to wait, with a hook-parent-after-clone.sh or
 * when an operator started it; without namespaces; and where the address sanitizer keeps books about stacks.
 */
#ifndef WSHD_LAUNCH_H
#define WSHD_LAUNCH_H

#include "child.h"

/*
 * The most expensive of the namespaces, and the one that nothing in the directory has a say in: made early,
 * it costs no time later.
 */
struct network {
  int own, hosts; /* -1: made by the clone */
};

/*
 * Waits for a word of the daemon's. Without a daemon there is nothing to wait for. -1: it has another one, or
 * died.
 */
int launch_await(const struct options *options, const char *expected);

/*
 * Clones the child and passes words both ways until it is ready and has been told that the daemon knows. 0,
 * or -1 when that failed, and was told, and the child is gone. Either way the caller is to do nothing more
 * than _exit(2), and not to return from where `options`, `child` and its plan live: they are init's now.
 */
int launch(const struct options *options, struct child *child, const struct network *network);

#endif
