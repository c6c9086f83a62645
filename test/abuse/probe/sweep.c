/*
 * Every system call, once with -1, once with 0 and once with noise in each argument. A call is open if any of
 * the three got as far as the kernel's own look at it: anything but EPERM, ENOSYS or the end by the filter.
 * What the kernel refuses for want of a right counts as refused.
 */
#include "probe.h"

#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define HIGHEST 700

/* What these do by themselves is known, and would end or stop the tries. */
static const long skipped[] = {SYS_exit, SYS_exit_group,    SYS_rt_sigreturn, SYS_sync, SYS_syncfs,
#ifdef SYS_fork
                               SYS_fork, SYS_vfork,         SYS_pause,
#endif
                               SYS_kill, SYS_rt_sigsuspend, SYS_ppoll};

static const char *const names[HIGHEST] = {
#include "calls.inc"
};

static bool is_skipped(long number) {
  for (size_t i = 0; i < sizeof skipped / sizeof *skipped; i++)
    if (skipped[i] == number) return true;
  return false;
}

/* The same noise in every run. */
static long noise(void) {
  static uint64_t state = 0x9e3779b97f4a7c15u;
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return (long)state;
}

static bool sleeps(pid_t pid) {
  char path[32], stat[256];
  snprintf(path, sizeof path, "/proc/%d/stat", pid);
  const char *end = read_start(path, stat, sizeof stat) <= 0 ? NULL : strrchr(stat, ')');
  return end != NULL && end[2] == 'S';
}

/*
 * In a process of its own: the call may take away anything, this process's memory included. Its word is its
 * exit status.
 */
static int one_turn(long number, int kind) {
  long a[6];
  for (int i = 0; i < 6; i++) a[i] = kind == 0 ? -1 : kind == 1 ? 0 : noise();
  /* a plain child, else the noise decides what may be tried */
  if (number == SYS_clone && kind != 0) a[0] = SIGCHLD;
  pid_t pid = fork();
  if (pid < 0) return -1;
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    alarm(6);
    long result = raw_call(number, a[0], a[1], a[2], a[3], a[4], a[5]);
    raw_call(SYS_exit_group, result == -1 && errno > 0 && errno < 200 ? errno : 0, 0, 0, 0, 0, 0);
  }
  int status, asleep = 0;
  struct timespec pause = {.tv_nsec = 10000000};
  /*
   * some calls stop a process for ever, and may keep the alarm away: one that sleeps got past the filter. A
   * busy machine is no sleep
   */
  for (int i = 0; i < 600 && asleep < 8; i++) {
    pid_t ended = waitpid(pid, &status, WNOHANG | WUNTRACED);
    if (ended == pid && !WIFSTOPPED(status))
      return WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status) == SIGSYS ? 200 : 0;
    if (ended == pid) break;
    if (i < 40) {
      sched_yield();
      continue;
    }
    nanosleep(&pause, NULL);
    asleep = sleeps(pid) ? asleep + 1 : 0;
  }
  kill(pid, SIGKILL);
  waitpid(pid, &status, 0);
  return 0;
}

static int sweeps(const void *argument) {
  long number = (long)(intptr_t)argument;
  int refusal = 0;
  alarm(0);
  for (int kind = 0; kind < 3; kind++) {
    int word = one_turn(number, kind);
    if (word < 0) return inconclusive("no-process");
    if (word == 200) {
      refusal = 200;
      continue;
    }
    if (word != EPERM && word != ENOSYS) {
      saw("%s", word == 0 ? "answered" : strerrorname_np(word));
      return 0;
    }
    refusal = word;
  }
  if (refusal == 200) raise(SIGSYS);
  errno = refusal;
  return -1;
}

void try_sweep(void) {
  for (long number = 0; number < HIGHEST; number++) {
    /*
     * beyond what has a name only every number up to 600 is tried, and told only where it is not refused as
     * unknown
     */
    if (is_skipped(number)) continue;
    if (names[number] != NULL) attempt(sweeps, (void *)(intptr_t)number, "call/%s", names[number]);
    else if (!given.brief || number % 16 == 0)
      attempt(sweeps, (void *)(intptr_t)number, "call/number-%ld", number);
  }
}
