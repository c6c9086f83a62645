/*
 * Subvolumes of btrfs and their quota groups, by ioctl(2). A subvolume has a group of level 0 with its own
 * number, made by the kernel with it; so the two have one name here. What a group uses is read from
 * /sys/fs/btrfs, which needs no call.
 */
#include "warden_native.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/btrfs.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

/*
 * Inode of the root directory of every subvolume: BTRFS_FIRST_FREE_OBJECTID, whose header does not compile
 * with every libc.
 */
#define ROOT_INODE 256

/*
 * A directory of a btrfs. The ioctl numbers mean other things elsewhere, so the type is checked before any.
 */
static int open_btrfs(const char *path) {
  struct statfs facts;
  int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return -errno;
  int error = fstatfs(fd, &facts) < 0 ? -errno : 0;
  if (error == 0 && facts.f_type != BTRFS_SUPER_MAGIC) error = -EOPNOTSUPP;
  if (error == 0) return fd;
  close(fd);
  return error;
}

static int call(const char *path, unsigned long request, void *argument) {
  int fd = open_btrfs(path);
  if (fd < 0) return fd;
  int error = ioctl(fd, request, argument) < 0 ? -errno : 0;
  close(fd);
  return error;
}

static int read_facts(int fd, uint8_t filesystem[16], uint64_t facts[2]) {
  struct btrfs_ioctl_fs_info_args info = {0};
  struct btrfs_ioctl_ino_lookup_args lookup = {.objectid = ROOT_INODE};
  struct stat status;
  if (fstat(fd, &status) < 0 || ioctl(fd, BTRFS_IOC_FS_INFO, &info) < 0 ||
      ioctl(fd, BTRFS_IOC_INO_LOOKUP, &lookup) < 0)
    return -errno;
  memcpy(filesystem, info.fsid, 16);
  facts[0] = lookup.treeid;
  facts[1] = status.st_ino == ROOT_INODE;
  return 0;
}

int warden_btrfs_facts(const char *path, uint8_t filesystem[16], uint64_t facts[2]) {
  int fd = open_btrfs(path);
  if (fd < 0) return fd;
  int error = read_facts(fd, filesystem, facts);
  close(fd);
  return error;
}

int warden_btrfs_quota_control(const char *path, uint32_t command) {
  struct btrfs_ioctl_quota_ctl_args arguments = {.cmd = command};
  return call(path, BTRFS_IOC_QUOTA_CTL, &arguments);
}

int warden_btrfs_rescan(const char *path) {
  struct btrfs_ioctl_quota_rescan_args arguments = {0};
  return call(path, BTRFS_IOC_QUOTA_RESCAN, &arguments);
}

static int on_subvolume(const char *parent, const char *name, unsigned long request) {
  struct btrfs_ioctl_vol_args arguments = {0};
  size_t length = strlen(name);
  if (length == 0 || length > NAME_MAX || strchr(name, '/') != NULL) return -EINVAL;
  memcpy(arguments.name, name, length);
  return call(parent, request, &arguments);
}

int warden_btrfs_create_subvolume(const char *parent, const char *name) {
  return on_subvolume(parent, name, BTRFS_IOC_SUBVOL_CREATE);
}

int warden_btrfs_destroy_subvolume(const char *parent, const char *name) {
  return on_subvolume(parent, name, BTRFS_IOC_SNAP_DESTROY);
}

int warden_btrfs_limit(const char *path, uint64_t group, uint64_t bytes) {
  struct btrfs_ioctl_qgroup_limit_args arguments = {
      .qgroupid = group,
      .lim = {.flags = BTRFS_QGROUP_LIMIT_MAX_RFER, .max_rfer = bytes},
  };
  return call(path, BTRFS_IOC_QGROUP_LIMIT, &arguments);
}

int warden_btrfs_remove_group(const char *path, uint64_t group) {
  struct btrfs_ioctl_qgroup_create_args arguments = {.create = 0, .qgroupid = group};
  return call(path, BTRFS_IOC_QGROUP_CREATE, &arguments);
}
