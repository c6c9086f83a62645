/* Mounting, and trying a mount where it leaves no trace. */
#include "child.h"
#include "warden_native.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * An empty string stands for "none": mount(2) takes NULL there, and some file systems refuse an empty data
 * string.
 */
static const char *or_null(const char *text) { return text[0] == '\0' ? NULL : text; }

int warden_mount(const char *type, const char *source, const char *target, uint32_t flags, const char *data) {
  return mount(or_null(source), target, or_null(type), flags, or_null(data)) < 0 ? -errno : 0;
}

int warden_unmount(const char *target, int detach) {
  return umount2(target, UMOUNT_NOFOLLOW | (detach ? MNT_DETACH : 0)) < 0 ? -errno : 0;
}

/* linux/fs.h declares neither. The same numbers for ext4, xfs and f2fs. */
#define SHUTDOWN _IOR('X', 125, uint32_t)
#define WITHOUT_WRITING 2

int warden_shutdown_filesystem(const char *path) {
  uint32_t how = WITHOUT_WRITING;
  int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return -errno;
  int error = ioctl(fd, SHUTDOWN, &how) < 0 ? -errno : 0;
  close(fd);
  return error;
}

/* <sys/mount.h> of some C libraries lacks it, and <linux/mount.h> cannot be included beside it. */
struct attributes {
  uint64_t set, clear, propagation, user_namespace;
};
#ifndef OPEN_TREE_CLONE
#define OPEN_TREE_CLONE 1
#endif
#ifndef OPEN_TREE_CLOEXEC
#define OPEN_TREE_CLOEXEC O_CLOEXEC
#endif
#define READ_ONLY 0x1  /* MOUNT_ATTR_RDONLY */
#define NO_DEVICES 0x4 /* MOUNT_ATTR_NODEV */

int warden_open_read_only(const char *path) {
  struct attributes attributes = {.set = READ_ONLY | NO_DEVICES};
  int tree = (int)syscall(SYS_open_tree, AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
  if (tree < 0) return -errno;
  if (syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attributes, sizeof attributes) == 0) return tree;
  int error = -errno;
  close(tree);
  return error;
}

struct trial {
  const char *type;
  const char *source;
  const char *target;
  const char *data;
  uint32_t flags;
  int check_write;
  char first_name[4200]; /* below target, which TypeScript limits to 4095 bytes */
  char second_name[4200];
  int error; /* written by the child, which shares our memory */
  int step;
};

static int fail(struct trial *trial, int step) {
  if (trial->error == 0) {
    trial->error = errno;
    trial->step = step;
  }
  return -1;
}

static int check_file(struct trial *trial) {
  int fd = open(trial->first_name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) return fail(trial, WARDEN_TRY_CREATE);
  ssize_t count = write(fd, "warden", 6);
  if (count != 6) {
    if (count >= 0) errno = ENOSPC;
    fail(trial, WARDEN_TRY_WRITE);
  }
  close(fd);
  const char *name = trial->first_name;
  if (rename(trial->first_name, trial->second_name) < 0) fail(trial, WARDEN_TRY_RENAME);
  else name = trial->second_name;
  if (unlink(name) < 0) fail(trial, WARDEN_TRY_UNLINK);
  return trial->error == 0 ? 0 : -1;
}

static int check_directory(struct trial *trial) {
  if (mkdir(trial->first_name, 0700) < 0) return fail(trial, WARDEN_TRY_CREATE);
  const char *name = trial->first_name;
  if (rename(trial->first_name, trial->second_name) < 0) fail(trial, WARDEN_TRY_RENAME);
  else name = trial->second_name;
  if (rmdir(name) < 0) fail(trial, WARDEN_TRY_UNLINK);
  return trial->error == 0 ? 0 : -1;
}

static int trial_main(void *data) {
  struct trial *trial = data;
  /* Private first: with shared propagation the trial's mount would appear on the host. */
  if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) return fail(trial, WARDEN_TRY_NAMESPACE);
  if (mount(or_null(trial->source), trial->target, or_null(trial->type), trial->flags, or_null(trial->data)) <
      0)
    return fail(trial, WARDEN_TRY_MOUNT);
  if (trial->check_write && check_file(trial) == 0) check_directory(trial);
  /*
   * The namespace's death would unmount too, but later and without telling: a loop device or directory
   * would be busy still.
   */
  if (umount2(trial->target, UMOUNT_NOFOLLOW) < 0) fail(trial, WARDEN_TRY_UNMOUNT);
  return 0;
}

int warden_try_mount(const char *type, const char *source, const char *target, uint32_t flags,
                     const char *data, int check_write, int32_t *failed_step) {
  struct trial trial = {.type = type,
                        .source = source,
                        .target = target,
                        .data = data,
                        .flags = flags,
                        .check_write = check_write};
  *failed_step = WARDEN_TRY_NAMESPACE;
  int length =
      snprintf(trial.first_name, sizeof(trial.first_name), "%s/.warden-trial-%d-1", target, (int)getpid());
  if (length < 0 || (size_t)length >= sizeof(trial.first_name)) return -ENAMETOOLONG;
  memcpy(trial.second_name, trial.first_name, (size_t)length + 1);
  trial.second_name[length - 1] = '2';
  int pid = child_start(trial_main, &trial, CLONE_NEWNS);
  if (pid < 0) return pid;
  child_reap(pid);
  *failed_step = trial.step;
  return -trial.error;
}
