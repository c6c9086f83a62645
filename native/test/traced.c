/*
 * A job that has its parent, init, for its tracer: `traced signal` gets a signal that is nothing to it,
 * `traced exec` executes itself, `traced child` does the first in a child that it leaves to init. For
 * wshd_test.py; it runs in a root without any library.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <unistd.h>

static int signalled(void) {
  if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0) return 1;
  raise(SIGWINCH);
  puts("signalled");
  return 3;
}

static int executed(const char *program) {
  if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0) return 1;
  execl(program, program, "executed", (char *)NULL);
  return 1;
}

/* With the end of the first child the second is init's, which it waits for. */
static int left(void) {
  const pid_t parent = fork();
  if (parent != 0) return parent < 0 ? 1 : 0;
  const pid_t before = getpid(), child = fork();
  if (child != 0) return child < 0 ? 1 : 0;
  while (getppid() == before) usleep(1000);
  return signalled();
}

int main(int argc, char **argv) {
  if (argc < 2) return 1;
  if (strcmp(argv[1], "signal") == 0) return signalled();
  if (strcmp(argv[1], "exec") == 0) return executed(argv[0]);
  if (strcmp(argv[1], "child") == 0) return left();
  puts("executed");
  return 4;
}
