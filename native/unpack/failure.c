#include "failure.h"

#include <errno.h>
#include <stdio.h>

struct failure failure;

int fail_with(int error, const char *operation, const char *path) {
  if (failure.error != 0) return -1;
  failure.error = error == 0 ? EIO : error;
  failure.operation = operation;
  snprintf(failure.path, sizeof failure.path, "%s", path);
  return -1;
}

int fail(const char *operation, const char *path) { return fail_with(errno, operation, path); }
