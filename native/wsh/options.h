/* The command line of wsh. */
#ifndef WSH_OPTIONS_H
#define WSH_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "limits.h"

#define WSH_ENVIRONMENT_MAX 256

struct wsh_options {
  const char *socket;                           /* NULL: the default */
  const char *user;                             /* "": root */
  const char *environment[WSH_ENVIRONMENT_MAX]; /* NAME=value */
  size_t environment_count;
  const char *lang; /* value for LANG unless it is among the environment; NULL: none */
  struct wsh_limit limits[WSH_LIMITS];
  size_t limit_count;
  char **command; /* not NULL-terminated; none: the user's shell */
  size_t command_count;
};

enum wsh_options_result { WSH_OPTIONS_OK, WSH_OPTIONS_HELP, WSH_OPTIONS_INVALID };

/*
 * Parses up to the first word without a leading '-'; the rest is the command. On WSH_OPTIONS_INVALID *wrong
 * is the offending word. Pointers go into argv.
 */
enum wsh_options_result wsh_options_parse(struct wsh_options *options, int argc, char **argv,
                                          const char **wrong);

#endif
