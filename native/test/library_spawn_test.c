/* Spawning: every permutation of overlapping descriptor maps, failures of each step, leaks. */
#include "tap.h"
#include "warden_native.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define FIRST_FD 10

static int open_fd_count(void) {
  int count = 0;
  DIR *directory = opendir("/proc/self/fd");
  while (readdir(directory) != NULL) count++;
  closedir(directory);
  return count;
}

static int32_t failed_step;

static int spawn(const char *path, const char *cwd, const char *script, const int32_t *pairs,
                 uint32_t pair_count) {
  char argv[256] = "sh\0-c\0";
  char environment[] = "A=1";
  strncpy(argv + 6, script, sizeof(argv) - 7);
  return warden_spawn(path, cwd, argv, 3, environment, 1, pairs, pair_count, 0, &failed_step);
}

static int exit_status(int pid) {
  int status;
  return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Four pipes at 10, 11, 12, 13 hold one letter each; the child reads them at the permuted numbers. */
static int run_permutation(const int order[4]) {
  int32_t pairs[8];
  char expected[64];
  for (int i = 0; i < 4; i++) {
    int ends[2];
    char letter[2] = {(char)('a' + i), '\n'};
    if (pipe(ends) < 0 || write(ends[1], letter, 2) != 2 || dup2(ends[0], FIRST_FD + i) < 0) return -1;
    close(ends[0]);
    close(ends[1]);
    pairs[2 * i] = FIRST_FD + i;
    pairs[2 * i + 1] = 3 + order[i];
  }
  /* targets 3..6 and, in half of the cases, the sources' own numbers */
  if (order[0] % 2 == 0)
    for (int i = 0; i < 4; i++) pairs[2 * i + 1] = FIRST_FD + order[i];
  int base = order[0] % 2 == 0 ? FIRST_FD : 3;
  int position[4];
  for (int i = 0; i < 4; i++) position[order[i]] = i;
  snprintf(expected, sizeof(expected), "%c%c%c%c", 'a' + position[0], 'a' + position[1], 'a' + position[2],
           'a' + position[3]);
  char script[200];
  snprintf(script, sizeof(script),
           "for n in 0 1 2 3; do eval 'read x < /proc/self/fd/'$((%d + n)); all=$all$x; done; [ $all = %s ]",
           base, expected);
  int status = exit_status(spawn("/bin/sh", "/", script, pairs, 4));
  for (int i = 0; i < 4; i++) close(FIRST_FD + i);
  return status;
}

static void test_permutations(void) {
  int wrong = 0;
  for (int code = 0; code < 256; code++) {
    int order[4] = {code & 3, (code >> 2) & 3, (code >> 4) & 3, (code >> 6) & 3};
    unsigned int seen = 0;
    for (int i = 0; i < 4; i++) seen |= 1U << order[i];
    if (seen == 15 && run_permutation(order) != 0) wrong++;
  }
  check(wrong == 0, "all 24 permutations of four descriptors arrive");
}

/*
 * One and two descriptors go by numbers that are lent to the child: it has them where it wants them, and
 * nobody else has them afterwards.
 */
static void test_few(void) {
  int first[2], second[2];
  char left[8];
  bool arrived = pipe2(first, O_CLOEXEC) == 0 && pipe2(second, O_CLOEXEC) == 0;
  int32_t exchanged[4] = {first[1], second[1], second[1], first[1]};
  char script[100];
  snprintf(script, sizeof(script), "echo b > /proc/self/fd/%d; echo a > /proc/self/fd/%d", first[1],
           second[1]);
  arrived = arrived && exit_status(spawn("/bin/sh", "/", script, exchanged, 2)) == 0;
  close(first[1]);
  close(second[1]);
  check(arrived && read(first[0], left, sizeof(left)) == 2 && left[0] == 'a' &&
            read(second[0], left, sizeof(left)) == 2 && left[0] == 'b',
        "two descriptors arrive in each other's places");
  check(read(first[0], left, sizeof(left)) == 0 && read(second[0], left, sizeof(left)) == 0,
        "nothing keeps them open when the program has ended");
  close(first[0]);
  close(second[0]);
}

static void test_failures(void) {
  if (getenv("WARDEN_TEST_EMULATED") != NULL) {
    tap_skip("failures of a start are told",
             "an emulator of foreign programs makes a fork of a vfork, whose memory is not common");
    return;
  }
  int32_t closed[2] = {200, 3};
  check(spawn("/no/such", "/", "", NULL, 0) == -ENOENT && failed_step == WARDEN_STEP_EXEC,
        "a missing program fails at exec");
  check(spawn("/bin/sh", "/no/such", "", NULL, 0) == -ENOENT && failed_step == WARDEN_STEP_CHDIR,
        "a missing directory fails at chdir");
  check(spawn("/bin/sh", "/", "", closed, 1) == -EBADF && failed_step == WARDEN_STEP_DESCRIPTORS,
        "a closed source fails");
  check(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD, "failures leave no child");
}

static void test_leaks(void) {
  int before = open_fd_count();
  int wrong = 0;
  for (int i = 0; i < 300; i++)
    if (exit_status(spawn("/bin/true", "/", "", NULL, 0)) != 0) wrong++;
  check(wrong == 0, "300 programs ran");
  check(open_fd_count() == before, "no descriptor is left");
}

/* Where the child's stack was: the address sanitizer objects when notes of the child's frames are left. */
static void test_stack(void) {
  bool ended = exit_status(spawn("/bin/sh", "/", "exit 0", NULL, 0)) == 0;
  int tried = warden_try_mount("none", "none", "/does/not/exist", 0, "", 0, &failed_step);
  check(ended && tried < 0, "the stack that a child had is the caller's again");
}

int main(void) {
  int32_t result[2];
  test_permutations();
  test_few();
  test_failures();
  test_leaks();
  test_stack();
  int pid = spawn("/bin/sh", "/", "kill -9 $$", NULL, 0);
  int pidfd = warden_pidfd_open(pid);
  int status;
  while ((status = warden_reap(pid, result)) == 0) usleep(1000);
  check(status == 1 && result[0] == -1 && result[1] == 9, "a signal is told from an exit code");
  check(warden_pidfd_signal(pidfd, 0) == -ESRCH, "the pidfd of a reaped process answers ESRCH");
  close(pidfd);
  return tap_end();
}
