#include "hooks.h"

#include "report.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void path_of(char *path, size_t size, const char *lib, const char *name) { snprintf(path, size, "%s/%s", lib, name); }

bool hook_exists(const char *lib, const char *name) {
  char path[1024];
  struct stat facts;
  path_of(path, sizeof path, lib, name);
  return stat(path, &facts) == 0 && S_ISREG(facts.st_mode) && (facts.st_mode & 0111) != 0;
}

int hook_run(const char *lib, const char *name) {
  char path[1024], text[1200];
  if (!hook_exists(lib, name)) return 0;
  path_of(path, sizeof path, lib, name);
  pid_t pid = fork();
  if (pid < 0) return report_errno("hook", path);
  if (pid == 0) {
    execl(path, path, (char *)NULL);
    dprintf(STDERR_FILENO, "%s: cannot be executed\n", path);
    _exit(127);
  }
  int status;
  while (waitpid(pid, &status, 0) < 0)
    if (errno != EINTR) return report_errno("hook", path);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return 0;
  int exit_status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  snprintf(text, sizeof text, "Process for \"%s\" exited with %d", path, exit_status);
  return report_failure(name, 0, exit_status, path, text);
}
