/* Terminals: typing into one that somebody else watches, taking one over, and those of others. */
#include "probe.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

/* A pair of our own. The slave becomes the controlling terminal, as a job's would be. */
static int make_terminal(void) {
  int master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
  char path[64];
  if (master < 0 || unlockpt(master) != 0) return -1;
  snprintf(path, sizeof path, "%s", ptsname(master));
  pid_t pid = fork(); /* the leader of a process group cannot begin a session */
  if (pid > 0) {
    int status;
    waitpid(pid, &status, 0);
    _exit(0);
  }
  setsid();
  int slave = open(path, O_RDWR | O_CLOEXEC);
  if (slave >= 0) ioctl(slave, TIOCSCTTY, 0);
  return slave;
}

static int types(const void *argument) {
  int terminal = make_terminal();
  (void)argument;
  if (terminal < 0) return -1;
  return ioctl(terminal, TIOCSTI, "x");
}

/* The kernel looks at the low 32 bits of a request only; a filter that compares all 64 is passed by. */
static int types_with_high_bits(const void *argument) {
  int terminal = make_terminal();
  (void)argument;
  if (terminal < 0) return -1;
  return (int)raw_call(SYS_ioctl, terminal, (long)(TIOCSTI | 1ul << 32), (long)"x", 0, 0, 0);
}

static int controls_console(const void *argument) {
  char code = (char)(intptr_t)argument;
  int terminal = make_terminal();
  if (terminal < 0) return -1;
  return ioctl(terminal, TIOCLINUX, &code);
}

static int takes_console_output(const void *argument) {
  int terminal = make_terminal();
  (void)argument;
  if (terminal < 0) return -1;
  return ioctl(terminal, TIOCCONS, NULL);
}

static int sets_discipline(const void *argument) {
  int terminal = make_terminal(), discipline = (int)(intptr_t)argument;
  if (terminal < 0) return -1;
  return ioctl(terminal, TIOCSETD, &discipline);
}

static int hangs_up(const void *argument) {
  int terminal = make_terminal();
  (void)argument;
  if (terminal < 0) return -1;
  return ioctl(terminal, TIOCVHANGUP, NULL);
}

/* A terminal that is another session's controlling one, taken by force. */
static int steals(const void *argument) {
  int terminal = make_terminal();
  (void)argument;
  if (terminal < 0) return -1;
  pid_t pid = fork();
  if (pid == 0) {
    setsid();
    errno = 0;
    _exit(ioctl(terminal, TIOCSCTTY, 1) == 0 ? 0 : errno);
  }
  int status;
  if (waitpid(pid, &status, 0) < 0) return -1;
  errno = WIFEXITED(status) ? WEXITSTATUS(status) : EINTR;
  return errno == 0 ? 0 : -1;
}

/* Terminals that are not ours: names beyond those this process group has made. */
static int opens_foreign(const void *argument) {
  DIR *directory = opendir("/dev/pts");
  struct dirent *entry;
  (void)argument;
  if (directory == NULL) return -1;
  errno = ENOENT;
  while ((entry = readdir(directory)) != NULL) {
    char path[300];
    if (entry->d_name[0] < '0' || entry->d_name[0] > '9') continue;
    snprintf(path, sizeof path, "/dev/pts/%s", entry->d_name);
    int fd = open(path, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) continue;
    saw("%s", entry->d_name);
    return 0;
  }
  return -1;
}

static int has_controlling(const void *argument) {
  (void)argument;
  return open("/dev/tty", O_RDWR | O_CLOEXEC);
}

void try_terminals(void) {
  attempt(types, NULL, "terminal/TIOCSTI");
  attempt(types_with_high_bits, NULL, "terminal/TIOCSTI-high-bits");
  attempt(controls_console, (void *)2, "terminal/TIOCLINUX-select");
  attempt(controls_console, (void *)3, "terminal/TIOCLINUX-paste");
  attempt(takes_console_output, NULL, "terminal/TIOCCONS");
  attempt(sets_discipline, (void *)2, "terminal/discipline-mouse");
  attempt(sets_discipline, (void *)21, "terminal/discipline-gsm");
  attempt(hangs_up, NULL, "terminal/TIOCVHANGUP");
  attempt(steals, NULL, "terminal/steal");
  attempt(opens_foreign, NULL, "terminal/foreign");
  attempt(has_controlling, NULL, "terminal/controlling");
}
