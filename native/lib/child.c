#include "child.h"

#include "clean_stack.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <sys/wait.h>

#define CHILD_STACK_SIZE (16 * 1024) /* it only makes system calls */

struct child_start {
  int (*main)(void *);
  void *argument;
};

static int child_entry(void *data) {
  struct child_start *start = data;
  /* Without CLONE_SIGHAND the table of handlers is the child's own copy. Ignored signals go back to the
     default too: Node ignores SIGPIPE, and a program would inherit that. */
  struct sigaction fallback = {.sa_handler = SIG_DFL};
  for (int signal = 1; signal < NSIG; signal++)
    if (signal != SIGKILL && signal != SIGSTOP) sigaction(signal, &fallback, NULL);
  return start->main(start->argument);
}

int child_start(int (*main)(void *), void *argument, int flags) {
  /*
   * A part of this thread's own, which waits until the child has ended or started its program. Memory of its
   * own would be mapped, touched for the first time and unmapped again for each.
   */
  _Alignas(16) char stack[CHILD_STACK_SIZE];
  struct child_start start = {.main = main, .argument = argument};
  sigset_t all, before;
  sigfillset(&all);
  /*
   * Blocked before the clone: between it and the reset in child_entry a signal would run Node's handler in
   * the child.
   */
  pthread_sigmask(SIG_BLOCK, &all, &before);
  int pid = clone(child_entry, stack + sizeof stack, CLONE_VM | CLONE_VFORK | SIGCHLD | flags, &start);
  int error = errno;
  CLEAN_STACK(stack);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return pid < 0 ? -error : pid;
}

void child_reap(int pid) {
  while (waitpid(pid, NULL, __WALL) < 0 && errno == EINTR) continue;
}
