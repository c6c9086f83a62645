/*
 * The probe as every program of a hostile root file system. Whoever starts one is told on: a line with the
 * name and what it was held by goes to the file named at the end of the program itself (a path of the host,
 * put there by the suite), and to /canary/log. None of this may be seen unless the process is in the
 * container, behind the filter and without a way to gain privileges.
 */
#include "probe.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char mark[] = "\nABUSE-CANARY=";

/* The path after the mark in the last bytes of the program. */
static bool host_path(char *path, size_t size) {
  char tail[512];
  int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  off_t end = lseek(fd, 0, SEEK_END);
  ssize_t got = pread(fd, tail, sizeof tail, end > (off_t)sizeof tail ? end - (off_t)sizeof tail : 0);
  close(fd);
  const char *at = got <= 0 ? NULL : memmem(tail, (size_t)got, mark, sizeof mark - 1);
  if (at == NULL) return false;
  at += sizeof mark - 1;
  size_t length = strcspn(at, "\n");
  if (length == 0 || length >= size) return false;
  memcpy(path, at, length);
  path[length] = '\0';
  return true;
}

static void append(const char *path, const char *line) {
  int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
  if (fd < 0) return;
  fchmod(fd, 0666); /* the next one may be another user */
  if (write(fd, line, strlen(line)) < 0) perror(path);
  close(fd);
}

/* The words of a script like `abuse-probe --brief`: all that this shell understands. */
static bool read_script(int *argc, char ***argv) {
  static char script[8192];
  static char *words[64];
  size_t length = 0;
  ssize_t got;
  while (length < sizeof script - 1 && (got = read(0, script + length, sizeof script - 1 - length)) > 0)
    length += (size_t)got;
  script[length] = '\0';
  int count = 0;
  for (char *word = strtok(script, " \n"); word != NULL && count < 63; word = strtok(NULL, " \n"))
    words[count++] = word;
  if (count == 0 || strcmp(words[0], "abuse-probe") != 0) return false;
  words[count] = NULL;
  *argc = count;
  *argv = words;
  return true;
}

bool canary_main(const char *name, int *argc, char ***argv) {
  char line[512], path[400];
  uint64_t filter = 99, locked = 99, effective = 99;
  /* a program with rights of its own, started by the probe: whether it has any tells by its exit status */
  if (strcmp(name, "gifted") == 0) {
    status_number("self", "CapEff", 16, &effective);
    bool grew = getuid() != geteuid() || getgid() != getegid() || (getuid() != 0 && effective != 0);
    exit(grew ? 0 : 1);
  }
  status_number("self", "Seccomp", 10, &filter);
  status_number("self", "NoNewPrivs", 10, &locked);
  snprintf(line, sizeof line, "%s pid=%d uid=%d seccomp=%d nnp=%d\n", name, getpid(), getuid(), (int)filter,
           (int)locked);
  if (host_path(path, sizeof path)) append(path, line);
  append("/canary/log", line);
  return (strcmp(name, "bash") == 0 || strcmp(name, "sh") == 0) && read_script(argc, argv);
}
