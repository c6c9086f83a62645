#ifndef WSHD_OPTIONS_H
#define WSHD_OPTIONS_H

#include <stdbool.h>

/*
 * The command line (spec linux-container.md 7). Directories are relative to the container's, which is the
 * working directory.
 */
struct options {
  const char *run, *lib, *root, *title;
  /*
   * Of the daemon, which starts programs with all signals at their defaults (lib/child.c); -1: started by an
   * operator
   */
  int sync_fd;
  bool insecure; /* no namespaces, mounts, users: see insecure.h */
  bool early;    /* started before the container's directory is complete: the daemon says when it is */
};

/*
 * Answers -1 to go on, otherwise the exit status: 0 after --help and --list-failpoints, 1 after a complaint
 * on stderr.
 */
int options_parse(struct options *options, int argc, char **argv);

/* -1 when the directories are there, otherwise 1 after a complaint. */
int options_check(const struct options *options);

#endif
