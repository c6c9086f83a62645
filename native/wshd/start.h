/*
 * Starting a process that becomes what a request says.
 *
 * Init lends it its memory until it executes a program, as vfork(2) does (clone(2), CLONE_VM and CLONE_VFORK), where it may: no page tables are copied, no page is when one
 * of both writes to it, and init, waiting, is not on the processor that the other one needs. It waits for as long as that takes, and whatever ends the borrower's
 * memory, or makes that wait, is init's trouble, too. So it lends only
 *
 *   - when nobody else is in the container, who could stop the borrower (SIGSTOP), or look into it once it has another user's rights;
 *   - in a user namespace of its own, and where no file system is bound into the container, which might be one that hangs;
 *   - with memory left, as far as the daemon knows (WSHD_SPAWN_ROOMY): the kernel ends nobody who lives in borrowed memory to get some back (in_vfork() in mm/oom_kill.c), and
 *     where init may not be ended either, both would wait for ever;
 *   - while no failpoint is set, whose counts are memory.
 *
 * Otherwise it forks, from its reserve if need be.
 */
#ifndef WSHD_START_H
#define WSHD_START_H

#include "init.h"

/* `ends`: what becomes 0, 1 and 2. The process's number; -1 and errno as fork(2). */
pid_t start_process(struct init *init, const struct spawn_request *request, const int ends[3]);

#endif
