#include "output.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE 1
#endif

/* What a signal has to remove. */
static volatile sig_atomic_t pending_directory = -1;
static char pending_name[sizeof OUTPUT_PREFIX + 32];

static void end_by_signal(int number) {
  if (pending_directory >= 0) unlinkat((int)pending_directory, pending_name, 0);
  _exit(128 + number);
}

void output_init(void) {
  static const int ends[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT};
  struct sigaction action = {.sa_handler = end_by_signal};
  sigset_t none;
  sigfillset(&action.sa_mask);
  for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) sigaction(ends[i], &action, NULL);
  signal(SIGPIPE, SIG_IGN);
  signal(SIGXFSZ, SIG_IGN); /* write(2) says EFBIG instead */
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
}

/* A name that nobody has: what is left under one after a power failure can be told by its beginning. */
static void take_name(char *name, size_t size) {
  static uint64_t base, counter;
  if (base == 0 && getrandom(&base, sizeof base, 0) != (ssize_t)sizeof base) base = (uint64_t)getpid();
  snprintf(name, size, OUTPUT_PREFIX "%016llx", (unsigned long long)(base + counter++));
}

/* The name is known to the signal handler before it exists, and forgotten when it does not any more. */
static const char *begin_name(int directory, char *name, size_t size) {
  take_name(name, size);
  memcpy(pending_name, name, strlen(name) + 1);
  pending_directory = directory;
  return name;
}

static void end_name(void) { pending_directory = -1; }

int output_open(struct output *output, int directory) {
  static bool is_unnamed_impossible;
  *output = (struct output){.fd = -1};
  if (!is_unnamed_impossible) {
    output->fd = openat(directory, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
    if (output->fd >= 0) return 0;
    if (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL && errno != ENOENT) return -1;
    is_unnamed_impossible = errno != ENOENT;
  }
  begin_name(directory, output->temporary, sizeof output->temporary);
  output->is_named = true;
  output->fd =
      openat(directory, output->temporary, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (output->fd < 0) end_name();
  return output->fd < 0 ? -1 : 0;
}

void output_drop(struct output *output, int directory) {
  int saved = errno;
  if (output->fd >= 0) close(output->fd);
  if (output->is_named) unlinkat(directory, output->temporary, 0);
  end_name();
  *output = (struct output){.fd = -1};
  errno = saved;
}

static int link_unnamed(int fd, int directory, const char *name) {
  /* the first needs a right, or Linux 6.10; the second a /proc */
  if (linkat(fd, "", directory, name, AT_EMPTY_PATH) == 0) return 0;
  if (errno != ENOENT && errno != EPERM) return -1;
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  return linkat(AT_FDCWD, path, directory, name, AT_SYMLINK_FOLLOW);
}

int output_make_way(int directory, const char *name, bool for_directory) {
  struct stat facts;
  if (fstatat(directory, name, &facts, AT_SYMLINK_NOFOLLOW) != 0) return errno == ENOENT ? 0 : -1;
  if (S_ISDIR(facts.st_mode)) return for_directory ? 0 : unlinkat(directory, name, AT_REMOVEDIR);
  if (!S_ISREG(facts.st_mode) && !S_ISLNK(facts.st_mode)) {
    errno = EEXIST;
    return -1;
  }
  return for_directory ? unlinkat(directory, name, 0) : 0;
}

static int give_name(struct output *output, int directory, const char *name) {
  if (!output->is_named) {
    if (link_unnamed(output->fd, directory, name) == 0) return 0;
    if (errno != EEXIST || output_make_way(directory, name, false) != 0) return -1;
    begin_name(directory, output->temporary, sizeof output->temporary);
    output->is_named = true;
    if (link_unnamed(output->fd, directory, output->temporary) != 0) return -1;
  } else if (syscall(SYS_renameat2, directory, output->temporary, directory, name, RENAME_NOREPLACE) == 0) {
    return 0;
  } else if (output_make_way(directory, name, false) != 0) {
    return -1;
  }
  return renameat(directory, output->temporary, directory, name);
}

static bool changes_owner(const struct output_rules *rules) {
  return rules->uid != OUTPUT_KEEP || rules->gid != (gid_t)-1;
}

int output_finish(struct output *output, int directory, const char *name, mode_t mode,
                  const struct output_rules *rules) {
  if ((changes_owner(rules) && fchown(output->fd, rules->uid, rules->gid) != 0) ||
      fchmod(output->fd, mode & rules->mask) != 0 || give_name(output, directory, name) != 0) {
    output_drop(output, directory);
    return -1;
  }
  end_name();
  close(output->fd);
  *output = (struct output){.fd = -1};
  return 0;
}

static int own_link(int directory, const char *name, const struct output_rules *rules) {
  if (!changes_owner(rules)) return 0;
  struct stat facts;
  int fd = openat(directory, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return -1;
  errno = EEXIST; /* somebody has put something else there */
  int result = fstat(fd, &facts) != 0 || !S_ISLNK(facts.st_mode)
                   ? -1
                   : fchownat(fd, "", rules->uid, rules->gid, AT_EMPTY_PATH);
  int saved = errno;
  close(fd);
  errno = saved;
  return result;
}

int output_link(int directory, const char *name, const char *target, const struct output_rules *rules) {
  if (symlinkat(target, directory, name) == 0) return own_link(directory, name, rules);
  if (errno != EEXIST || output_make_way(directory, name, false) != 0) return -1;
  char temporary[sizeof OUTPUT_PREFIX + 32];
  begin_name(directory, temporary, sizeof temporary);
  int result = symlinkat(target, directory, temporary);
  if (result == 0 &&
      (own_link(directory, temporary, rules) != 0 || renameat(directory, temporary, directory, name) != 0)) {
    int saved = errno;
    unlinkat(directory, temporary, 0);
    errno = saved;
    result = -1;
  }
  end_name();
  return result;
}
