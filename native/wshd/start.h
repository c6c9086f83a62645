/*
 * Starting a process that becomes what a request says.
 *
 * Init lends it its memory until it executes a program, as vfork(2) does (clone(2), CLONE_VM and
 * CLONE_VFORK), where it may: no page tables are copied, no page is when one of both writes to it, and init,
 * waiting, is not on the processor that the other one needs. It serves nobody meanwhile, as long as the
 * program is read from the disk, say; whoever stops the borrower stops init, which can still be ended; and in
 * want of memory the kernel takes nobody who lives in borrowed memory (in_vfork() in mm/oom_kill.c), but who
 * has lent it. So it lends only
 *
 *   - when there is no other process in the container, however it came there. Who is sent in by the host in
 * that very moment is root of the host's business;
 *   - in a user namespace of its own, and where nothing of the host's that might hang is inside: no bind
 * mount, and no hook that could have mounted something. (A root file system that hangs stops init with its
 * job.)
 *   - with memory left, as far as the daemon knows (WSHD_SPAWN_ROOMY), and time: a limit of processor time
 * can be over before the program has begun;
 *   - a small number of variables, of which each is compared with each;
 *   - while no failpoint is set, whose counts are memory.
 *
 * Otherwise it forks, from its reserve if need be.
 *
 * What the borrower changes of init's: `environ`, which lend() puts back, the heap, to which it gives back
 * all the rest itself, before it has limits, and whether others may look into this memory, which each change
 * of user sets to fs.suid_dumpable (lend() forbids it again). Everything else is a process's own.
 */
#ifndef WSHD_START_H
#define WSHD_START_H

#include "init.h"

/* `ends`: what becomes 0, 1 and 2. The process's number; -1 and errno as fork(2). */
pid_t start_process(struct init *init, const struct spawn_request *request, const int ends[3]);

#endif
