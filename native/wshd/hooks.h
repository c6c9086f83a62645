/*
 * The operator's hooks: run only where somebody has put an executable file with something in it; a failure
 * fails the start.
 */
#ifndef WSHD_HOOKS_H
#define WSHD_HOOKS_H

#include "plan.h"

#include <stdbool.h>

/* Run by the launcher for a child that waits: the only one that both look for. */
#define HOOK_AFTER_CLONE "hook-parent-after-clone.sh"

/* Whether `<lib>/<name>` is there, executable and not empty. */
bool hook_exists(const char *lib, const char *name);

/*
 * Runs `<lib>/<name>` if it is there and waits, at most as long as the plan allows. What it prints goes to
 * run/wshd.{out,err}.log, up to a limit, and its last words into the report of a failure: a status other than
 * 0, a death by signal, or the end of the time.
 *
 * `shell` is -1 where the hook's own interpreter is run. Otherwise it is a descriptor of a static shell that
 * reads the script, whatever its first line says: in a root that somebody else has made, that line would name
 * that root's program.
 */
int hook_run(const struct plan *plan, const char *lib, const char *name, int shell);

/* Sets a variable for the hooks that follow; `variable` (NAME=value) is used, not copied. */
int hook_environment(char *variable);

#endif
