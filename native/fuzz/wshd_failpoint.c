/*
 * The text that arms failpoints, and what they then do: the text NUL which points are passed. Nothing waits
 * and nothing dies.
 */
#include "fuzz.h"

#include <setjmp.h>
#include <signal.h>
#include <time.h>

static jmp_buf died;

static int fuzz_kill(pid_t pid, int signal) {
  must(pid == getpid() && signal == SIGKILL);
  longjmp(died, 1);
}

static int fuzz_nanosleep(const struct timespec *wanted, struct timespec *left) {
  must(wanted->tv_sec >= 0 && wanted->tv_sec <= 600 && wanted->tv_nsec >= 0 && wanted->tv_nsec < 1000000000);
  (void)left;
  return 0;
}

static char **fuzz_environ;
#define kill fuzz_kill
#define nanosleep fuzz_nanosleep
#define environ fuzz_environ
#include "../wshd/failpoint.c"

int report_errno(const char *stage, const char *object) {
  must(stage[0] != '\0' && object[0] != '\0');
  return -1;
}

int report_failure(const char *stage, int number, int exit_status, const char *object, const char *text) {
  must(stage[0] != '\0' && number == EINVAL && exit_status == 0 && object[0] != '\0' && strlen(text) < 256);
  return -1;
}

/* A function of its own: what a longjmp may clobber must not be anybody's variable. */
static __attribute__((noinline)) void pass(enum failpoint at) {
  if (setjmp(died) != 0) return;
  errno = 0;
  must(failpoint(at) == 0 || errno == EIO);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct input input = {.at = data, .left = size};
  char *text = input_text(&input, '\0'), *variable = malloc(strlen(text) + sizeof VARIABLE), before[] = "A=1",
       after[] = "Z=2";
  must(variable != NULL);
  sprintf(variable, VARIABLE "%s", text);
  char *variables[] = {before, variable, after, NULL};
  fuzz_environ = variables;
  int result = failpoints_open();
  /* nothing of it is left, and nothing else is gone */
  must(variables[0] == before && variables[1] == after && variables[2] == NULL);
  for (size_t i = 0; i < strlen(text) + sizeof VARIABLE; i++) must(variable[i] == '\0');
  for (size_t i = 0; result == 0 && points != NULL && i < FAILPOINT_COUNT; i++) {
    must(points[i].count <= TERMS_MAX);
    for (size_t j = 0; j < points[i].count; j++) must((unsigned)points[i].terms[j].action <= DELAY);
  }
  while (input.left > 0 && result == 0) pass((enum failpoint)(input_byte(&input) % FAILPOINT_COUNT));
  free(points);
  points = NULL;
  free(variable);
  free(text);
  return 0;
}
