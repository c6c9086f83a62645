/* Watching, signalling and reaping processes. */
#include "warden_native.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

int warden_pidfd_open(int pid) {
  int fd = (int)syscall(SYS_pidfd_open, pid, 0); /* close-on-exec by definition, Linux 5.3 */
  return fd < 0 ? -errno : fd;
}

int warden_pidfd_signal(int pidfd, int signal) {
  return syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0) < 0 ? -errno : 0;
}

int warden_raise_open_files(int wanted) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) < 0) return -errno;
  struct rlimit raised = {.rlim_cur = limit.rlim_cur, .rlim_max = limit.rlim_max};
  if (raised.rlim_max < (rlim_t)wanted) raised.rlim_max = (rlim_t)wanted;
  if (raised.rlim_cur < (rlim_t)wanted) raised.rlim_cur = (rlim_t)wanted;
  if (setrlimit(RLIMIT_NOFILE, &raised) < 0) {
    /* EPERM: a hard limit is raised with CAP_SYS_RESOURCE only, and not every root has that */
    raised.rlim_max = limit.rlim_max;
    if (raised.rlim_cur > raised.rlim_max) raised.rlim_cur = raised.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &raised) < 0) return -errno;
  }
  return raised.rlim_cur > (rlim_t)INT_MAX ? INT_MAX : (int)raised.rlim_cur;
}

int warden_reap(int pid, int32_t result[2]) {
  int status;
  pid_t reaped;
  do reaped = waitpid(pid, &status, WNOHANG);
  while (reaped < 0 && errno == EINTR);
  if (reaped < 0) return -errno;
  if (reaped == 0) return 0;
  result[0] = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  result[1] = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  return 1;
}
