#include "probe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct given given = {.sentinel = "", .abstract = "", .only = "", .reach = ""};

static const char usage[] = "usage: abuse-probe [--list] [--brief] [--only PREFIX] [--sentinel FILE] "
                            "[--abstract NAME] [--reach NAME=ADDRESS:PORT,...]\n"
                            "       abuse-probe door\n"
                            "       abuse-probe race|storm KIND ...\n"
                            "       abuse-probe listen PORT\n";

/*
 * The cases would do to a machine what they must not be able to do in a container: only the suite's own root
 * file systems have this file.
 */
static void refuse_outside(void) {
  if (access("/etc/abuse-victim", F_OK) == 0) return;
  fputs("abuse-probe: this is no root file system of the abuse suite, and so no place to try these things\n",
        stderr);
  exit(2);
}

/*
 * Whether this machine has the 32-bit door at all. By a call that everybody may make, so that it may be asked
 * outside of containers.
 */
static int door_main(void) {
  given.only = "foreign/i386-getpid";
  try_foreign_calls();
  return 0;
}

static int probe(int argc, char **argv) {
  for (int i = 1; i < argc; i++) {
    const char *word = argv[i], *value = i + 1 < argc ? argv[i + 1] : NULL;
    if (strcmp(word, "--list") == 0) given.list = true;
    else if (strcmp(word, "--brief") == 0) given.brief = true;
    else if (value == NULL) goto misuse;
    else if (strcmp(word, "--only") == 0) given.only = argv[++i];
    else if (strcmp(word, "--sentinel") == 0) given.sentinel = argv[++i];
    else if (strcmp(word, "--abstract") == 0) given.abstract = argv[++i];
    else if (strcmp(word, "--reach") == 0) given.reach = argv[++i];
    else goto misuse;
  }
  if (!given.list) refuse_outside();
  static void (*const groups[])(void) = {
      try_capabilities, try_limits,  try_namespaces, try_mounts,        try_proc,
      try_proc_writes,  try_devices, try_terminals,  try_files,         try_processes,
      try_sockets,      try_network, try_kernel,     try_foreign_calls, try_sweep,
  };
  for (size_t i = 0; i < sizeof groups / sizeof *groups; i++) groups[i]();
  attempts_settle();
  puts("end - -");
  return 0;
misuse:
  fputs(usage, stderr);
  return 2;
}

int main(int argc, char **argv) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  umask(022);
  const char *name = strrchr(argv[0], '/');
  name = name == NULL ? argv[0] : name + 1;
  /*
   * under another name it stands for a program of a hostile root file system, which tells what it sees before
   * anything else
   */
  if (strcmp(name, "abuse-probe") != 0 && !canary_main(name, &argc, &argv)) return 0;
  if (argc == 2 && strcmp(argv[1], "door") == 0) return door_main();
  if (argc > 1 && argv[1][0] != '-') refuse_outside();
  if (argc == 3 && strcmp(argv[1], "listen") == 0) return listen_main(argv[2]);
  if (argc > 1 && strcmp(argv[1], "race") == 0) return race_main(argc - 2, argv + 2);
  if (argc > 1 && strcmp(argv[1], "storm") == 0) return storm_main(argc - 2, argv + 2);
  return probe(argc, argv);
}
