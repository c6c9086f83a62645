/* Removal of trees where the kernel says no: by another way, or what is told is why. */
#include "forbid.h"
#include "tap.h"
#include "warden_native.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define UNTRIED 255 /* no errno: the host has not what the test needs */

static char scratch[] = "/tmp/library-remove-XXXXXX";

static void need(int condition) {
  if (!condition) _exit(UNTRIED);
}

/* No descriptor but the lowest that is free now. */
static void leave_one_descriptor(void) {
  int free_now = open("/", O_RDONLY | O_CLOEXEC);
  close(free_now);
  struct rlimit limit = {.rlim_cur = (rlim_t)free_now + 1, .rlim_max = (rlim_t)free_now + 1};
  need(free_now >= 0 && setrlimit(RLIMIT_NOFILE, &limit) == 0);
}

/* `tree/d/d/...`, so deep, below the working directory. */
static void make_deep(int depth) {
  int here = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  need(here >= 0 && mkdir("tree", 0755) == 0 && chdir("tree") == 0);
  for (int i = 0; i < depth; i++) need(mkdir("d", 0755) == 0 && chdir("d") == 0);
  need(fchdir(here) == 0 && close(here) == 0);
}

/* A layer that no directory can be moved within: each move would have to leave its lower directory. */
static void make_layer(int depth) {
  need(unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
  need(mount("none", scratch, "tmpfs", 0, NULL) == 0 && chdir(scratch) == 0);
  need(mkdir("lower", 0755) == 0 && mkdir("upper", 0755) == 0 && mkdir("work", 0755) == 0 &&
       mkdir("merged", 0755) == 0);
  need(chdir("lower") == 0);
  make_deep(depth);
  need(chdir("..") == 0 && mount("none", "merged", "overlay", 0,
                                 "lowerdir=lower,upperdir=upper,workdir=work,redirect_dir=off") == 0);
  need(chdir("merged") == 0);
}

enum trial { DIRECTORY_UNREADABLE, IMMUTABLE_WITHOUT_DESCRIPTOR, LAYER, DEEP_LAYER };

static int attempt(enum trial trial) {
  char name[256];
  need(chdir(scratch) == 0);
  switch (trial) {
    case DIRECTORY_UNREADABLE:
      make_deep(1);
      need(forbid(SYS_getdents64, EIO));
      break;
    case IMMUTABLE_WITHOUT_DESCRIPTOR: /* as what has the flag answers */
      make_deep(1);
      need(forbid(SYS_unlinkat, EPERM));
      leave_one_descriptor();
      break;
    case LAYER:
      make_layer(40);
      break;
    case DEEP_LAYER:
      make_layer(600); /* more than BORDERS_MAX tops take */
      break;
  }
  return -warden_remove_tree("tree", name, sizeof(name));
}

/* errno of the removal in a process of its own, which may make itself as poor as it likes. */
static int removal_error(enum trial trial) {
  int status;
  pid_t child = fork();
  if (child == 0) _exit(attempt(trial));
  return waitpid(child, &status, 0) == child && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void check_error(enum trial trial, int expected, const char *name) {
  int error = removal_error(trial);
  if (error == UNTRIED) {
    tap_skip(name, "no rights, no overlayfs, or an emulator");
    return;
  }
  if (error != expected) printf("# %s\n", strerror(error));
  check(error == expected, name);
  char left[sizeof(scratch) + 8], cleared[256];
  snprintf(left, sizeof(left), "%s/tree", scratch);
  warden_remove_tree(left, cleared, sizeof(cleared));
}

int main(void) {
  if (mkdtemp(scratch) == NULL) return 1;
  check_error(DIRECTORY_UNREADABLE, EIO,
              "a directory that cannot be read is told as that, not as one that is not empty");
  check_error(IMMUTABLE_WITHOUT_DESCRIPTOR, EMFILE,
              "a descriptor that is missing is told, not what it was needed for");
  check_error(LAYER, 0, "what cannot be moved to the top is removed where it is");
  check_error(DEEP_LAYER, 0, "and however deep it lies");
  rmdir(scratch);
  return tap_end();
}
