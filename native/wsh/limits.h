/* Limits of the process to start: RLIMIT_<NAME> of the environment, else what jobs of the daemon have. */
#ifndef WSH_LIMITS_H
#define WSH_LIMITS_H

#include <stddef.h>
#include <stdint.h>

#define WSH_LIMITS 15

struct wsh_limit {
  uint32_t resource; /* RLIMIT_* of Linux */
  uint64_t soft, hard;
};

/*
 * Values are `soft` or `soft hard`, decimal, -1 for infinity; `lookup` is getenv(3). 0, or -1 with *wrong the
 * name of the variable that is something else.
 */
int wsh_limits_read(struct wsh_limit limits[WSH_LIMITS], char *(*lookup)(const char *), const char **wrong);

#endif
