/*
 * Races. Each counts the windows it hit: a race that never hit one proves nothing, and the suite says so.
 *
 *   race newcomers SECONDS [WINDOWS]
 *                            looks at each process in the moment between its birth in init and its exec,
 * until it has seen that many: its program, descriptors and memory must be out of reach. Prints `windows N
 * exe N write N fd N mem N trace N cwd N`. race swap A B SECONDS    exchanges two names over and over. Prints
 * `swaps N`. race init-exe SECONDS    opens /proc/1/exe and every descriptor of init for writing, over and
 * over. Prints `tries N wins N`.
 */
#include "probe.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SYS_RENAMEAT2 SYS_renameat2
#define EXCHANGE 2u

static volatile sig_atomic_t ended;
static void end(int number) {
  (void)number;
  ended = 1;
}

static void until(const char *seconds) {
  signal(SIGALRM, end);
  signal(SIGTERM, end);
  signal(SIGHUP, end);
  alarm((unsigned)atoi(seconds));
}

struct wins {
  unsigned long windows, exe, write, fd, mem, trace, cwd;
};

/* The name of a process is that of the program it runs; until the exec it is init's. */
static bool is_before_exec(pid_t pid) {
  char path[64], comm[32];
  snprintf(path, sizeof path, "/proc/%d/comm", pid);
  return read_start(path, comm, sizeof comm) > 0 && strncmp(comm, "wshd", 4) == 0;
}

static int open_of(pid_t pid, const char *what, int flags) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/%s", pid, what);
  return open(path, flags | O_CLOEXEC);
}

/*
 * Tracing is tried only before the exec, so that it is refused or a win. A process that became traced is let
 * go properly: one that a tracer holds would end without its parent hearing of it.
 */
static bool traces(pid_t pid) {
  if (!is_before_exec(pid) || ptrace(PTRACE_SEIZE, pid, NULL, NULL) != 0) return false;
  bool won = is_before_exec(pid);
  ptrace(PTRACE_INTERRUPT, pid, NULL, NULL);
  waitpid(pid, NULL, __WALL);
  ptrace(PTRACE_DETACH, pid, NULL, NULL);
  return won;
}

/* Numbers of descriptors tell nothing; what they stand for would. */
static bool reaches(int descriptors) {
  char name[16], target[256];
  for (int i = 0; i < 16; i++) {
    snprintf(name, sizeof name, "%d", i);
    if (readlinkat(descriptors, name, target, sizeof target) >= 0) return true;
    int fd = openat(descriptors, name, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd >= 0) {
      close(fd);
      return true;
    }
  }
  return false;
}

/*
 * Only what was reached while the process was still init's counts: afterwards it is a process of the
 * container, which may look at it.
 */
static void look_at(pid_t pid, struct wins *wins) {
  int exe = open_of(pid, "exe", O_PATH), fd = open_of(pid, "fd", O_RDONLY | O_DIRECTORY),
      mem = open_of(pid, "mem", O_RDWR), cwd = open_of(pid, "cwd", O_PATH);
  bool traced = traces(pid), reached = fd >= 0 && reaches(fd);
  if (is_before_exec(pid)) {
    wins->windows++;
    wins->exe += exe >= 0;
    wins->fd += reached;
    wins->mem += mem >= 0;
    wins->cwd += cwd >= 0 && sees_host(cwd);
    wins->trace += traced;
  }
  if (exe >= 0) {
    /* the program kept open, and opened again for writing when its last process has gone: CVE-2019-5736 */
    char path[64], text[256];
    snprintf(path, sizeof path, "/proc/self/fd/%d", exe);
    ssize_t length = readlink(path, text, sizeof text - 1);
    text[length < 0 ? 0 : length] = '\0';
    if (strstr(text, "wshd") != NULL) {
      int writable = open(path, O_WRONLY | O_CLOEXEC);
      wins->write += writable >= 0;
      if (writable >= 0) close(writable);
    }
  }
  if (exe >= 0) close(exe);
  if (fd >= 0) close(fd);
  if (mem >= 0) close(mem);
  if (cwd >= 0) close(cwd);
}

static pid_t last_pid(void) {
  char text[128];
  if (read_start("/proc/loadavg", text, sizeof text) <= 0) return 0;
  const char *at = strrchr(text, ' ');
  return at == NULL ? 0 : (pid_t)atoi(at + 1);
}

static int newcomers(const char *seconds, unsigned long enough) {
  struct wins wins = {0};
  pid_t next = last_pid() + 1;
  until(seconds);
  puts("ready");
  while (!ended && wins.windows < enough) {
    /* numbers are given in turn; a jump means that we slept through some */
    if (kill(next, 0) == 0 || errno == EPERM) look_at(next++, &wins);
    else {
      pid_t last = last_pid();
      if (last > next || last + 1000 < next) next = last;
    }
  }
  printf("windows %lu exe %lu write %lu fd %lu mem %lu trace %lu cwd %lu\n", wins.windows, wins.exe,
         wins.write, wins.fd, wins.mem, wins.trace, wins.cwd);
  return 0;
}

static int swap(const char *one, const char *other, const char *seconds) {
  unsigned long swaps = 0;
  /*
   * without a breath between two swaps every lookup of a path on the whole machine has to begin again and
   * again, and few windows are met
   */
  const struct timespec breath = {.tv_nsec = 50000};
  until(seconds);
  puts("ready");
  while (!ended) {
    if (syscall(SYS_RENAMEAT2, AT_FDCWD, one, AT_FDCWD, other, EXCHANGE) != 0) {
      perror("renameat2");
      return 1;
    }
    swaps++;
    nanosleep(&breath, NULL);
  }
  printf("swaps %lu\n", swaps);
  return 0;
}

static int init_exe(const char *seconds) {
  unsigned long tries = 0, wins = 0;
  until(seconds);
  while (!ended) {
    int fd = open_of(1, "exe", O_WRONLY);
    for (int i = 0; i < 16 && fd < 0; i++) {
      char name[16];
      snprintf(name, sizeof name, "fd/%d", i);
      fd = open_of(1, name, O_WRONLY | O_NONBLOCK);
    }
    tries++;
    wins += fd >= 0;
    if (fd >= 0) close(fd);
  }
  printf("tries %lu wins %lu\n", tries, wins);
  return 0;
}

int race_main(int argc, char **argv) {
  /* `--sentinel FILE` may stand before the kind */
  if (argc >= 2 && strcmp(argv[0], "--sentinel") == 0) {
    given.sentinel = argv[1];
    argc -= 2;
    argv += 2;
  }
  if ((argc == 2 || argc == 3) && strcmp(argv[0], "newcomers") == 0)
    return newcomers(argv[1], argc == 3 ? strtoul(argv[2], NULL, 10) : ULONG_MAX);
  if (argc == 4 && strcmp(argv[0], "swap") == 0) return swap(argv[1], argv[2], argv[3]);
  if (argc == 2 && strcmp(argv[0], "init-exe") == 0) return init_exe(argv[1]);
  fputs("usage: abuse-probe race [--sentinel FILE] newcomers SECONDS [WINDOWS] | swap A B SECONDS | init-exe "
        "SECONDS\n",
        stderr);
  return 2;
}
