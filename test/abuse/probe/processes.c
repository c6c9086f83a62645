/* Other processes: init, and whatever number somebody may guess. */
#include "probe.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
  PIDFD_SEND_SIGNAL = 424,
  PIDFD_OPEN = 434,
  PIDFD_GETFD = 438,
  PROCESS_MADVISE = 440,
  PROCESS_MRELEASE = 448
};

static pid_t start_child(void) {
  pid_t pid = fork();
  if (pid == 0)
    for (;;) pause();
  return pid;
}

static int attaches(const void *argument) {
  (void)argument;
  return (int)ptrace(PTRACE_ATTACH, 1, NULL, NULL);
}

static int seizes(const void *argument) {
  (void)argument;
  return (int)ptrace(PTRACE_SEIZE, 1, NULL, NULL);
}

static int traces_child(const void *argument) {
  (void)argument;
  pid_t pid = start_child();
  if (pid < 0 || ptrace(PTRACE_ATTACH, pid, NULL, NULL) != 0) return -1;
  waitpid(pid, NULL, __WALL);
  return 0;
}

static int traces_child_past_filter(const void *argument) {
  (void)argument;
  pid_t pid = start_child();
  /* PTRACE_O_SUSPEND_SECCOMP: takes the filter off the traced process */
  return (int)ptrace(PTRACE_SEIZE, pid, NULL, (void *)(1ul << 21));
}

static int reads_memory(const void *argument) {
  static char buffer[8];
  static char *target = buffer;
  struct iovec local = {.iov_base = buffer, .iov_len = sizeof buffer},
               remote = {.iov_base = target, .iov_len = sizeof buffer};
  pid_t pid = argument == NULL ? start_child() : (pid_t)(intptr_t)argument;
  return (int)syscall(SYS_process_vm_readv, pid, &local, 1, &remote, 1, 0);
}

static int writes_memory(const void *argument) {
  static char buffer[8];
  struct iovec local = {.iov_base = buffer, .iov_len = sizeof buffer}, remote = local;
  pid_t pid = argument == NULL ? start_child() : (pid_t)(intptr_t)argument;
  return (int)syscall(SYS_process_vm_writev, pid, &local, 1, &remote, 1, 0);
}

static int takes_descriptor(const void *argument) {
  pid_t pid = argument == NULL ? start_child() : (pid_t)(intptr_t)argument;
  int fd = (int)syscall(PIDFD_OPEN, pid, 0);
  if (fd < 0) return -1;
  return (int)syscall(PIDFD_GETFD, fd, 0, 0);
}

static int compares(const void *argument) {
  (void)argument;
  return (int)syscall(SYS_kcmp, getpid(), 1, 0, 0, 0);
}

static int advises(const void *argument) {
  struct iovec range = {.iov_base = (void *)0x1000, .iov_len = 0x1000};
  (void)argument;
  int fd = (int)syscall(PIDFD_OPEN, 1, 0);
  return (int)syscall(PROCESS_MADVISE, fd, &range, 1, 20 /* MADV_COLD */, 0);
}

static int releases(const void *argument) {
  (void)argument;
  return (int)syscall(PROCESS_MRELEASE, syscall(PIDFD_OPEN, 1, 0), 0);
}

/*
 * Every signal to init. That it can be sent is nothing: inside, init gets only what it handles, so what
 * counts is that it is still there, not stopped, and (which the suite looks at) still serves. `open` means it
 * is not.
 */
static int kills_init(const void *argument) {
  (void)argument;
  int sent = 0;
  for (int number = 1; number <= 64; number++) sent += kill(1, number) == 0;
  saw("%d-sent", sent);
  char stat[256];
  if (read_start("/proc/1/stat", stat, sizeof stat) <= 0) return 0;
  const char *end = strrchr(stat, ')');
  bool stopped = end != NULL && (end[2] == 'T' || end[2] == 't' || end[2] == 'Z');
  bool gone = kill(1, 0) != 0 && errno == ESRCH;
  errno = EPERM;
  return stopped || gone ? 0 : -1;
}

static int signals_init_by_pidfd(const void *argument) {
  (void)argument;
  int fd = (int)syscall(PIDFD_OPEN, 1, 0);
  if (fd < 0) return -1;
  if (syscall(PIDFD_SEND_SIGNAL, fd, SIGKILL, NULL, 0) != 0) return -1;
  errno = EPERM;
  return kill(1, 0) == 0 || errno == EPERM ? (errno = EPERM, -1) : 0;
}

/* Any number that answers although /proc does not have it would be a process of somebody else. */
static int finds_hidden(const void *argument) {
  (void)argument;
  for (pid_t pid = 2; pid < 70000; pid++) {
    char path[32];
    if (kill(pid, 0) != 0 && errno == ESRCH) continue;
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    if (access(path, F_OK) == 0) continue;
    snprintf(path, sizeof path, "/proc/%d", pid);
    if (access(path, F_OK) == 0 || (kill(pid, 0) != 0 && errno == ESRCH)) continue;
    saw("%d", pid);
    return 0;
  }
  errno = ESRCH;
  return -1;
}

static int opens_hidden(const void *argument) {
  (void)argument;
  for (pid_t pid = 2; pid < 70000; pid += 1) {
    int fd = (int)syscall(PIDFD_OPEN, pid, 0);
    if (fd < 0 && errno == ESRCH) continue;
    if (fd < 0 && errno != EINVAL && errno != ENOENT) return -1;
    if (fd >= 0) close(fd);
    char path[32];
    snprintf(path, sizeof path, "/proc/%d", pid);
    if (fd < 0 || access(path, F_OK) == 0 || kill(pid, 0) != 0) continue;
    saw("%d", pid);
    return 0;
  }
  errno = ESRCH;
  return -1;
}

static int queues_signal(const void *argument) {
  siginfo_t info = {.si_signo = SIGUSR1, .si_code = SI_USER}; /* pretending that the kernel sent it */
  (void)argument;
  return (int)syscall(SYS_rt_sigqueueinfo, 1, SIGUSR1, &info);
}

static int owns_signals_of_init(const void *argument) {
  (void)argument;
  int fd = open("/proc/1/task/1/children", O_RDONLY | O_CLOEXEC);
  (void)fd;
  return setpgid(1, 1);
}

void try_processes(void) {
  attempt(attaches, NULL, "process/ptrace-attach-init");
  attempt(seizes, NULL, "process/ptrace-seize-init");
  attempt(traces_child, NULL, "process/ptrace-own-child");
  attempt(traces_child_past_filter, NULL, "process/ptrace-suspend-filter");
  attempt(reads_memory, (void *)1, "process/vm-readv-init");
  attempt(writes_memory, (void *)1, "process/vm-writev-init");
  attempt(reads_memory, NULL, "process/vm-readv-child");
  attempt(writes_memory, NULL, "process/vm-writev-child");
  attempt(takes_descriptor, (void *)1, "process/pidfd-getfd-init");
  attempt(takes_descriptor, NULL, "process/pidfd-getfd-child");
  attempt(compares, NULL, "process/kcmp-init");
  attempt(advises, NULL, "process/madvise-init");
  attempt(releases, NULL, "process/mrelease-init");
  attempt(kills_init, NULL, "process/kill-init-64-signals");
  attempt(signals_init_by_pidfd, NULL, "process/kill-init-pidfd");
  attempt(queues_signal, NULL, "process/forged-signal-to-init");
  attempt(owns_signals_of_init, NULL, "process/setpgid-init");
  attempt(finds_hidden, NULL, "process/kill-hidden-pids");
  attempt(opens_hidden, NULL, "process/pidfd-hidden-pids");
}
