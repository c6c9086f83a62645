/* What went wrong first. Every function that fails notes it here and answers -1. */
#ifndef UNPACK_FAILURE_H
#define UNPACK_FAILURE_H

struct failure {
  int error; /* errno; 0: nothing */
  const char *operation;
  char path[4200];
};

extern struct failure failure;

/* Notes errno, unless something was noted before. Answers -1. */
int fail(const char *operation, const char *path);
/* The same with a number of one's own. */
int fail_with(int error, const char *operation, const char *path);

#endif
