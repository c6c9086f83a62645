#include "image.h"

#include "report.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#define OWN_FILE "/proc/self/exe"

extern char **environ;

int image_protect(char **argv) {
  struct statvfs facts;
  if (statvfs(OWN_FILE, &facts) != 0) return report_errno("image", OWN_FILE);
  if ((facts.f_flag & ST_RDONLY) != 0) return 0;
  struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NODEV};
  int copy = (int)syscall(SYS_open_tree, AT_FDCWD, OWN_FILE, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
  if (copy < 0 || syscall(SYS_mount_setattr, copy, "", AT_EMPTY_PATH, &attr, sizeof attr) != 0)
    return report_errno("image", OWN_FILE);
  /* the mount lives as long as a process runs from it */
  syscall(SYS_execveat, copy, "", argv, environ, AT_EMPTY_PATH);
  return report_errno("image", OWN_FILE);
}
