#include "start.h"

#include "failpoint.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>

/*
 * What execute() needs at most is some 12 KiB, of which execvp() takes half for a long PATH. On init's own stack: its pages are there already. A sanitizer puts room around each variable.
 */
#ifdef __SANITIZE_ADDRESS__
#define STACK_BYTES (256 * 1024)
#else
#define STACK_BYTES (32 * 1024)
#endif

struct borrower {
  const struct init *init;
  const struct spawn_request *request;
  const int *ends;
};

static int run(void *what) {
  const struct borrower *borrower = what;
  execute(borrower->init, borrower->request, borrower->ends[0], borrower->ends[1], borrower->ends[2]);
}

/* Every process here is init's child or has an ancestor that is. One that has ended and is not collected yet counts. */
static bool is_alone(void) {
  siginfo_t ended;
  return waitid(P_ALL, 0, &ended, WEXITED | WNOHANG | WNOWAIT) != 0 && errno == ECHILD;
}

static bool may_lend(const struct init *init, const struct spawn_request *request) {
  return init->may_lend && (request->flags & WSHD_SPAWN_ROOMY) != 0 && !init->reserve.is_out && !failpoints_are_set() && is_alone();
}

static pid_t lend(const struct init *init, const struct spawn_request *request, const int ends[3]) {
  _Alignas(16) char stack[STACK_BYTES];
  struct borrower borrower = {.init = init, .request = request, .ends = ends};
  const pid_t pid = clone(run, stack + sizeof stack, CLONE_VM | CLONE_VFORK | SIGCHLD, &borrower);
  const int saved = errno;
  execute_clean();
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
