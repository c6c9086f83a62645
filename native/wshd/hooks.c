#include "hooks.h"

#include "format.h"
#include "report.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void path_of(char *path, size_t size, const char *lib, const char *name) { format(path, size, "%s/%s", lib, name); }

bool hook_exists(const char *lib, const char *name) {
  char path[1024];
  struct stat facts;
  path_of(path, sizeof path, lib, name);
  return stat(path, &facts) == 0 && S_ISREG(facts.st_mode) && (facts.st_mode & 0111) != 0;
}

/* Waits for the end of a hook, but no longer than somebody wants the container: false when the other side of the report channel has gone. */
static bool await_end(pid_t pid) {
  int pidfd = (int)syscall(SYS_pidfd_open, pid, 0u);
  if (pidfd < 0) return true; /* waitpid(2) waits as well */
  struct pollfd wait[2] = {{.fd = pidfd, .events = POLLIN}, {.fd = report_descriptor()}};
  while (poll(wait, 2, -1) < 0 && errno == EINTR) continue;
  close(pidfd);
  return wait[1].revents == 0 || wait[0].revents != 0;
}

int hook_run(const char *lib, const char *name) {
  char path[1024], text[1200];
  if (!hook_exists(lib, name)) return 0;
  path_of(path, sizeof path, lib, name);
  pid_t pid = _Fork(); /* fork(2) without the care for threads, of which there are none */
  if (pid < 0) return report_errno("hook", path);
  if (pid == 0) {
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGPIPE, SIG_DFL); /* that it is ignored would be inherited */
    execv(path, (char *[]){path, NULL});
    complain("%s: cannot be executed\n", path);
    _exit(127);
  }
  setpgid(pid, pid); /* here too: whoever comes first */
  bool abandoned = !await_end(pid);
  if (abandoned) kill(-pid, SIGKILL);
  int status;
  while (waitpid(pid, &status, 0) < 0)
    if (errno != EINTR) return report_errno("hook", path);
  if (abandoned) return -1;
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return 0;
  int exit_status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  format(text, sizeof text, "Process for \"%s\" exited with %d", path, exit_status);
  return report_failure(name, 0, exit_status, path, text);
}
