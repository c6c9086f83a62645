/* Disk quota by quotactl_fd(2) (Linux 5.14), which needs no lookup of the block device in the mount table. */
#include "warden_native.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/quota.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* musl learnt the number in 1.2.4; it is the same on every processor. */
#ifndef SYS_quotactl_fd
#define SYS_quotactl_fd 443
#endif

static int control(const char *path, int command, int kind, uint32_t id, struct if_dqblk *block) {
  int fd = open(path, O_PATH | O_CLOEXEC);
  if (fd < 0) return -errno;
  int error = syscall(SYS_quotactl_fd, fd, QCMD((unsigned int)command, kind), id, block) < 0 ? -errno : 0;
  close(fd);
  return error;
}

int warden_quota_get(const char *path, int kind, uint32_t id, uint64_t values[6]) {
  struct if_dqblk block = {0};
  int error = control(path, Q_GETQUOTA, kind, id, &block);
  if (error < 0) return error;
  values[0] = block.dqb_bsoftlimit;
  values[1] = block.dqb_bhardlimit;
  values[2] = block.dqb_isoftlimit;
  values[3] = block.dqb_ihardlimit;
  values[4] = block.dqb_curspace;
  values[5] = block.dqb_curinodes;
  return 0;
}

int warden_quota_set(const char *path, int kind, uint32_t id, const uint64_t limits[4]) {
  struct if_dqblk block = {
      .dqb_bsoftlimit = limits[0],
      .dqb_bhardlimit = limits[1],
      .dqb_isoftlimit = limits[2],
      .dqb_ihardlimit = limits[3],
      .dqb_valid = QIF_LIMITS, /* the limits alone: usage and grace times stay the kernel's */
  };
  return control(path, Q_SETQUOTA, kind, id, &block);
}

int warden_set_project(const char *path, uint32_t project) {
  struct fsxattr attributes;
  struct stat status;
  int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return -errno;
  int error = 0;
  if (fstat(fd, &status) < 0 || ioctl(fd, FS_IOC_FSGETXATTR, &attributes) < 0) error = -errno;
  if (error == 0) {
    attributes.fsx_projid = project;
    if (S_ISDIR(status.st_mode)) /* the kernel refuses the flag on a file */
      attributes.fsx_xflags |= FS_XFLAG_PROJINHERIT;
    if (ioctl(fd, FS_IOC_FSSETXATTR, &attributes) < 0) error = -errno;
  }
  close(fd);
  return error;
}
