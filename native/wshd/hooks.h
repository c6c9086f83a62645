/* The operator's hooks: run only where somebody has put an executable file, and then a failure fails the start. */
#ifndef WSHD_HOOKS_H
#define WSHD_HOOKS_H

#include <stdbool.h>

/* Whether `<lib>/<name>` is there and executable. */
bool hook_exists(const char *lib, const char *name);

/* Runs it if it is there, waits, and reports a status other than 0. Its outputs are this process's. */
int hook_run(const char *lib, const char *name);

#endif
