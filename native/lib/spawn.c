/* Starting a program with exactly the descriptors that were asked for. */
#include "child.h"
#include "low_descriptors.h"
#include "warden_native.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

struct spawn {
  const char *path;
  const char *cwd;
  char **argv;
  char **environment;
  const int32_t *pairs; /* from, to, from, to ... */
  uint32_t pair_count;
  uint32_t flags;
  int32_t *sources; /* work space: one per pair */
  int32_t *kept;    /* work space: every descriptor the program shall have, ascending */
  uint32_t kept_count;
  /* where the sources are instead, in a table that is still the caller's; or NULL */
  const struct low_descriptors *low;
  int error; /* written by the child, which shares our memory */
  int step;
};

static int fail(struct spawn *spawn, int step) {
  spawn->error = errno;
  spawn->step = step;
  return 127;
}

/*
 * Two passes, because maps may overlap ({3 to 4, 4 to 3}, {5 to 0, 0 to 1}): first every source is copied
 * above the highest target, where no pass can overwrite it, then the copies go down to their targets.
 */
static int place_descriptors(struct spawn *spawn) {
  int above = spawn->kept[spawn->kept_count - 1] + 1;
  int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
  int null_copy = null_fd < 0 ? -1 : fcntl(null_fd, F_DUPFD_CLOEXEC, above);
  if (null_copy < 0) return -1;
  /*
   * Closed at once: the number may be a source that was not open, which must fail below and not get
   * /dev/null.
   */
  close(null_fd);
  for (uint32_t i = 0; i < spawn->pair_count; i++) {
    spawn->sources[i] =
        fcntl(spawn->low != NULL ? spawn->low->numbers[i] : spawn->pairs[2 * i], F_DUPFD_CLOEXEC, above);
    if (spawn->sources[i] < 0) return -1;
  }
  for (int fd = 0; fd <= 2; fd++)
    if (dup2(null_copy, fd) < 0) return -1;
  for (uint32_t i = 0; i < spawn->pair_count; i++)
    if (dup2(spawn->sources[i], spawn->pairs[2 * i + 1]) < 0) return -1;
  return 0;
}

#ifndef CLOSE_RANGE_UNSHARE
#define CLOSE_RANGE_UNSHARE (1U << 1)
#endif
#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC (1U << 2)
#endif

/* A table of our own, before anything is changed in it. */
static int leave_table(const struct low_descriptors *low) {
  return (int)syscall(SYS_close_range, low->limit, UINT_MAX, CLOSE_RANGE_UNSHARE);
}

/*
 * Thousands may be open. Marked here, they are closed by the exec, when our parent, which waits until then,
 * has gone on. Before Linux 5.11 they are closed one by one.
 */
static int close_range_at_exec(unsigned int first, unsigned int last) {
  if (syscall(SYS_close_range, first, last, CLOSE_RANGE_CLOEXEC) == 0) return 0;
  return errno == EINVAL ? (int)syscall(SYS_close_range, first, last, 0) : -1;
}

/* Everything else, for Node and its libraries open descriptors without close-on-exec. */
static int close_others(const struct spawn *spawn) {
  unsigned int next = 0;
  for (uint32_t i = 0; i < spawn->kept_count; i++) {
    unsigned int kept = (unsigned int)spawn->kept[i];
    if (kept > next && close_range_at_exec(next, kept - 1) < 0) return -1;
    next = kept + 1;
  }
  return close_range_at_exec(next, UINT_MAX);
}

static int spawn_main(void *data) {
  struct spawn *spawn = data;
  sigset_t none;
  if ((spawn->flags & WARDEN_SPAWN_NEW_SESSION) != 0 && setsid() < 0) return fail(spawn, WARDEN_STEP_SESSION);
  if ((spawn->low != NULL && leave_table(spawn->low) < 0) || place_descriptors(spawn) < 0 ||
      close_others(spawn) < 0)
    return fail(spawn, WARDEN_STEP_DESCRIPTORS);
  if (chdir(spawn->cwd) < 0) return fail(spawn, WARDEN_STEP_CHDIR);
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  execve(spawn->path, spawn->argv, spawn->environment);
  return fail(spawn, WARDEN_STEP_EXEC);
}

static int start(struct spawn *spawn) {
  struct low_descriptors low;
  if (low_descriptors_take(&low, spawn->pairs, spawn->pair_count, 2)) {
    spawn->low = &low;
    int pid = child_start(spawn_main, spawn, CLONE_FILES);
    spawn->low = NULL;
    low_descriptors_give_back(&low);
    if (pid != -EINVAL) /* an emulator of foreign programs has no such child */
      return pid;
  }
  return child_start(spawn_main, spawn, 0);
}

static char **split_strings(char *packed, uint32_t count) {
  char **list = calloc((size_t)count + 1, sizeof(*list));
  if (list == NULL) return NULL;
  for (uint32_t i = 0; i < count; i++) {
    list[i] = packed;
    packed += strlen(packed) + 1;
  }
  return list;
}

static int compare_numbers(const void *left, const void *right) {
  int32_t a = *(const int32_t *)left, b = *(const int32_t *)right;
  return (a > b) - (a < b);
}

/* 0, 1, 2 and all targets, sorted and each once. */
static void list_kept(struct spawn *spawn) {
  uint32_t count = 0;
  for (int32_t fd = 0; fd <= 2; fd++) spawn->kept[count++] = fd;
  for (uint32_t i = 0; i < spawn->pair_count; i++)
    if (spawn->pairs[2 * i + 1] > 2) spawn->kept[count++] = spawn->pairs[2 * i + 1];
  qsort(spawn->kept, count, sizeof(*spawn->kept), compare_numbers);
  spawn->kept_count = count;
}

int warden_spawn(const char *path, const char *cwd, char *argv, uint32_t argv_count, char *environment,
                 uint32_t environment_count, const int32_t *descriptor_pairs, uint32_t pair_count,
                 uint32_t flags, int32_t *failed_step) {
  struct spawn spawn = {
      .path = path,
      .cwd = cwd,
      .argv = split_strings(argv, argv_count),
      .environment = split_strings(environment, environment_count),
      .pairs = descriptor_pairs,
      .pair_count = pair_count,
      .flags = flags,
      .sources = calloc((size_t)pair_count + 1, sizeof(int32_t)),
      .kept = calloc((size_t)pair_count + 3, sizeof(int32_t)),
  };
  int result = -ENOMEM;
  *failed_step = WARDEN_STEP_CLONE;
  if (spawn.argv != NULL && spawn.environment != NULL && spawn.sources != NULL && spawn.kept != NULL) {
    list_kept(&spawn);
    result = start(&spawn);
    if (result > 0 && spawn.error != 0) {
      child_reap(result);
      *failed_step = spawn.step;
      result = -spawn.error;
    }
  }
  free(spawn.argv);
  free(spawn.environment);
  free(spawn.sources);
  free(spawn.kept);
  return result;
}
