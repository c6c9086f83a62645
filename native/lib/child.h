/*
 * A short-lived child that shares the caller's memory, as vfork(2) does.
 *
 * fork(2) copies the page tables of the whole Node process (2 to 10 ms at its usual sizes); with CLONE_VM |
 * CLONE_VFORK the child borrows the address space while the calling thread sleeps, and reports by plain
 * memory.
 */
#ifndef WARDEN_CHILD_H
#define WARDEN_CHILD_H

/*
 * Runs `main` in a child made with `flags` (CLONE_NEW*) on top of CLONE_VM | CLONE_VFORK | SIGCHLD and
 * answers its pid or -errno, when the child has exited or executed a program. All signals are blocked in the
 * child when `main` starts and all handlers are the defaults: no handler of Node may run in the shared
 * memory. `main` may only make system calls.
 */
int child_start(int (*main)(void *), void *argument, int flags);

/* Waits for the end of such a child. */
void child_reap(int pid);

#endif
