/* The Test Anything Protocol for C tests: check() per assertion, tap_end() as the value of main. */
#ifndef WARDEN_TAP_H
#define WARDEN_TAP_H

#include <stdio.h>

static int tap_count;
static int tap_failures;

#define check(condition, name) tap_check((condition) != 0, name, __FILE__, __LINE__)

static inline void tap_check(int passed, const char *name, const char *file, int line) {
  tap_count++;
  printf("%sok %d - %s\n", passed ? "" : "not ", tap_count, name);
  if (!passed) {
    tap_failures++;
    printf("# %s:%d\n", file, line);
  }
}

/* For checks that cannot hold where the test runs. */
static inline void tap_skip(const char *name, const char *reason) {
  printf("ok %d - %s # SKIP %s\n", ++tap_count, name, reason);
}

static inline int tap_end(void) {
  printf("1..%d\n", tap_count);
  return tap_failures == 0 ? 0 : 1;
}

#endif
