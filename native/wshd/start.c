#include "start.h"

#include "clean_stack.h"
#include "failpoint.h"

#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

extern char **environ;

/*
 * Of this execute() takes 8 KiB at most, measured with a PATH and a name as long as execvp() takes. On init's
 * own stack, of which most pages are there already. A sanitizer puts room around each variable.
 */
#ifdef __SANITIZE_ADDRESS__
#define STACK_BYTES (256 * 1024)
#else
#define STACK_BYTES (32 * 1024)
#endif

#define VARIABLES_MAX 256
/* What is set up here takes a thousandth of it. */
#define LEAST_SECONDS 2

struct borrower {
  const struct init *init;
  const struct spawn_request *request;
  const int *ends;
};

static int run(void *what) {
  const struct borrower *borrower = what;
  execute(borrower->init, borrower->request, borrower->ends[0], borrower->ends[1], borrower->ends[2]);
}

/*
 * Only the first process is in /proc: it lists processes by their numbers, from the place that
 * FIRST_PROCESS_ENTRY of the kernel's fs/proc/base.c and two entries more make. Were that another one some
 * day, something else would be read there, and nobody would be alone. waitpid(2) knows only of children,
 * kill(2) with -1 looks at all processes of the host.
 */
static bool is_alone(const struct init *init) {
  const off_t FIRST_PROCESS = 256 + 2;
  /* of 64 bits, it is what getdents64(2) gives; the name at its end has room for more of them */
  _Alignas(struct dirent) char entries[sizeof(struct dirent)];
  if (lseek(init->proc, FIRST_PROCESS, SEEK_SET) != FIRST_PROCESS) return false;
  const long length = syscall(SYS_getdents64, init->proc, entries, sizeof entries);
  const struct dirent *first = (const struct dirent *)(const void *)entries;
  return length > 0 && length == first->d_reclen && strcmp(first->d_name, "1") == 0;
}

static bool has_time(const struct spawn_request *request) {
  for (uint32_t i = 0; i < request->limit_count; i++)
    if (request->limits[i].resource == RLIMIT_CPU &&
        (request->limits[i].soft < LEAST_SECONDS || request->limits[i].hard < LEAST_SECONDS))
      return false;
  return true;
}

static bool may_lend(const struct init *init, const struct spawn_request *request) {
  const bool is_light =
      (request->flags & WSHD_SPAWN_ROOMY) != 0 && request->envc <= VARIABLES_MAX && has_time(request);
  return init->may_lend && is_light && !init->reserve.is_out && !failpoints_are_set() && is_alone(init);
}

static pid_t lend(const struct init *init, const struct spawn_request *request, const int ends[3]) {
  _Alignas(16) char stack[STACK_BYTES];
  struct borrower borrower = {.init = init, .request = request, .ends = ends};
  char **const environment = environ;
  const pid_t pid = clone(run, stack + sizeof stack, CLONE_VM | CLONE_VFORK | SIGCHLD, &borrower);
  const int saved = errno;
  CLEAN_STACK(stack);
  if (environ != environment) free(environ);
  environ = environment;
  prctl(PR_SET_DUMPABLE, 0);
  errno = saved;
  return pid;
}

pid_t start_process(struct init *init, const struct spawn_request *request, const int ends[3]) {
  if (may_lend(init, request)) {
    const pid_t pid = lend(init, request, ends);
    if (pid >= 0 || errno != EAGAIN) return pid;
  }
  const pid_t pid = reserve_fork(&init->reserve);
  if (pid == 0) execute(init, request, ends[0], ends[1], ends[2]);
  return pid;
}
