#include "failure.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

void failure_note(struct failure *failure, int error, const char *operation, const char *directory,
                  const char *name) {
  failure->count++;
  if (failure->error != 0) return;
  size_t length = strlen(directory);
  bool needs_slash = length > 0 && directory[length - 1] != '/' && name[0] != '\0';
  failure->error = error == 0 ? EIO : error;
  snprintf(failure->operation, sizeof failure->operation, "%s", operation);
  /* cut when it is longer: it is only looked at */
  if (snprintf(failure->path, sizeof failure->path, "%s%s%s", directory, needs_slash ? "/" : "", name) < 0)
    failure->path[0] = '\0';
}

bool failure_is_fatal(int error) {
  return error == ENOSPC || error == EDQUOT || error == EROFS || error == EIO || error == EMFILE ||
         error == ENFILE || error == ENOMEM || error == EPROTO || error == ECONNRESET || error == ESTALE;
}
