/*
 * A container without isolation (spec behaviour.md 16): plain processes of the user that started the daemon.
 *
 *   daemon ... keeper            child subreaper; nothing else until init ends
 *                `-- init        child subreaper; serves as in any container
 *                      `-- jobs and whatever they start
 *
 * No pid namespace ends everything with its first process, so the keeper does: when init has ended, by
 * whatever, what init left behind falls to the keeper, which kills it and then ends. SIGTERM to the keeper
 * asks for the same at once. Should the keeper be the one that is killed, the kernel tells init, which ends
 * all below it in the same way. The keeper is who listens, as far as the kernel tells clients.
 */
#ifndef WSHD_INSECURE_H
#define WSHD_INSECURE_H

#include "child.h"
#include "init.h"

/* The keeper, from its birth to its end. Answers only when the start failed, with the exit status. */
int insecure_main(struct child *child);

/* Init lives no longer than its keeper. Returns while that lives. */
void insecure_check_keeper(const struct init *init);

/* The job's own side of the fork, in the place of execute()'s. */
_Noreturn void insecure_execute(const struct init *init, const struct spawn_request *request);

#endif
