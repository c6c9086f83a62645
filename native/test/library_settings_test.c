/*
 * Settings that the kernel takes its lock around all links for: what comes of a write, alone, beside others
 * who take that lock, and where asynchronous I/O is refused.
 */
#include "forbid.h"
#include "tap.h"
#include "warden_native.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define SETTING "/proc/sys/net/ipv6/conf/lo/disable_ipv6"
#define WRITERS 4
#define WRITES 100
#define NAMESPACES 60

static char in_force(void) {
  char value = '?';
  int fd = open(SETTING, O_RDONLY | O_CLOEXEC);
  if (fd < 0 || read(fd, &value, 1) != 1) value = '?';
  close(fd);
  return value;
}

static int write_word(const char *word) {
  return warden_write_setting(SETTING, word, (uint32_t)strlen(word));
}

/* In a process of its own. 0: taken; 1: not; 2: this host cannot forbid calls. */
static int outcome_without(int call, int error) {
  int status;
  pid_t child = fork();
  if (child == 0) {
    if (!forbid(call, error)) _exit(2);
    _exit(write_word("1\n") == 0 && in_force() == '1' && write_word("0\n") == 0 && in_force() == '0' ? 0 : 1);
  }
  return waitpid(child, &status, 0) == child && WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

static void check_without(int call, int error, const char *name) {
  int outcome = outcome_without(call, error);
  if (outcome == 2) tap_skip(name, "calls cannot be forbidden here");
  else check(outcome == 0, name);
}

/* Answers how many of its writes failed. */
static void *write_often(void *unused) {
  (void)unused;
  intptr_t failed = 0;
  for (int i = 0; i < WRITES; i++) failed += write_word(i % 2 == 0 ? "1\n" : "0\n") != 0;
  return (void *)failed;
}

/* Takes the lock again and again: each namespace has a link of its own, which comes and goes. */
static void make_namespaces(void) {
  for (int i = 0; i < NAMESPACES; i++)
    if (unshare(CLONE_NEWNET) != 0) _exit(1);
  _exit(0);
}

static void check_crowd(void) {
  pid_t others = fork();
  if (others == 0) make_namespaces();
  pthread_t writers[WRITERS];
  int started = 0;
  intptr_t failed = 0;
  while (started < WRITERS && pthread_create(&writers[started], NULL, write_often, NULL) == 0) started++;
  for (int i = 0; i < started; i++) {
    void *result;
    pthread_join(writers[i], &result);
    failed += (intptr_t)result;
  }
  int status = 1;
  waitpid(others, &status, 0);
  check(started == WRITERS && failed == 0, "many at once, beside others who make links, are all taken");
  check(status == 0, "and so are the others");
  check(write_word("1\n") == 0 && in_force() == '1', "the last one is in force");
}

int main(void) {
  if (unshare(CLONE_NEWNET) != 0 || access(SETTING, W_OK) != 0) {
    tap_skip("settings", "no rights to make a network namespace, or a kernel without IPv6");
    return tap_end();
  }
  /* first: what has been set up once stays */
  check_without(SYS_io_setup, EAGAIN, "without asynchronous I/O");
  check(write_word("1\n") == 0 && in_force() == '1', "a value is taken");
  check(write_word("0") == 0 && in_force() == '0', "also without a line's end");
  check(write_word("one") == -EINVAL && in_force() == '0', "a word that is none is refused");
  check(warden_write_setting("/proc/sys/net/ipv6/conf/none/disable_ipv6", "1", 1) == -ENOENT,
        "no link of that name");
  check(warden_write_setting("/proc/sys/net/ipv6/conf", "1", 1) == -EISDIR, "a directory is no setting");
  check_crowd();
  check_without(SYS_io_submit, ENOSYS, "where it is refused later");
  return tap_end();
}
