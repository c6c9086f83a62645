/* Mounting, unmounting, and leaving the root. */
#include "probe.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
  OPEN_TREE = 428,
  MOVE_MOUNT,
  FSOPEN,
  FSCONFIG,
  FSMOUNT,
  FSPICK,
  MOUNT_SETATTR = 442,
  OPEN_TREE_ATTR = 467
};

struct plan {
  const char *name, *source, *type;
  unsigned long flags;
  const char *data;
};

static const struct plan plans[] = {
    {"tmpfs", "none", "tmpfs", 0, NULL},
    {"proc", "proc", "proc", 0, NULL},
    {"sysfs", "sysfs", "sysfs", 0, NULL},
    {"cgroup2", "none", "cgroup2", 0, NULL},
    {"overlay", "none", "overlay", 0, "lowerdir=/bin:/etc"},
    {"devpts", "devpts", "devpts", 0, "newinstance"},
    {"devtmpfs", "none", "devtmpfs", 0, NULL},
    {"mqueue", "mqueue", "mqueue", 0, NULL},
    {"bpf", "bpf", "bpf", 0, NULL},
    {"debugfs", "none", "debugfs", 0, NULL},
    {"tracefs", "none", "tracefs", 0, NULL},
    {"securityfs", "none", "securityfs", 0, NULL},
    {"fusectl", "none", "fusectl", 0, NULL},
    {"fuse", "none", "fuse", 0, "fd=0,rootmode=40000,user_id=0,group_id=0"},
    {"binfmt_misc", "none", "binfmt_misc", 0, NULL},
    {"hugetlbfs", "none", "hugetlbfs", 0, NULL},
    {"ramfs", "none", "ramfs", 0, NULL},
    {"configfs", "none", "configfs", 0, NULL},
    {"9p", "none", "9p", 0, "trans=fd,rfdno=0,wfdno=1"},
    {"ext4-of-loop", "/dev/loop0", "ext4", 0, NULL},
    {"bind-root", "/", NULL, MS_BIND, NULL},
    {"bind-recursive", "/", NULL, MS_BIND | MS_REC, NULL},
    {"bind-proc", "/proc", NULL, MS_BIND, NULL},
};

static int mount_plan(const void *argument) {
  const struct plan *plan = argument;
  mkdir("/tmp/m", 0755);
  return mount(plan->source, "/tmp/m", plan->type, plan->flags, plan->data);
}

static int mount_controller(const void *argument) {
  mkdir("/tmp/m", 0755);
  return mount("cgroup", "/tmp/m", "cgroup", 0, argument);
}

/* release_agent of a hierarchy runs as the host's root: the whole attack of CVE-2022-0492. */
static int release_agent(const void *argument) {
  (void)argument;
  mkdir("/tmp/m", 0755);
  unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWCGROUP);
  if (mount("cgroup", "/tmp/m", "cgroup", 0, "rdma") != 0 &&
      mount("cgroup", "/tmp/m", "cgroup", 0, "memory") != 0)
    return -1;
  int fd = open("/tmp/m/release_agent", O_WRONLY);
  return fd < 0 ? -1 : (int)write(fd, "/nowhere", 8);
}

struct change {
  const char *target;
  unsigned long flags;
};

static int change_mount(const void *argument) {
  const struct change *change = argument;
  return mount(NULL, change->target, NULL, change->flags, NULL);
}

static int move_mount_old(const void *argument) {
  mkdir("/tmp/m", 0755);
  return mount(argument, "/tmp/m", NULL, MS_MOVE, NULL);
}

static int detach(const void *argument) { return umount2(argument, MNT_DETACH); }
static int force(const void *argument) { return umount2(argument, MNT_FORCE); }

static int fsopen_type(const void *argument) { return (int)syscall(FSOPEN, argument, 0); }
static int open_tree_clone(const void *argument) {
  return (int)syscall(OPEN_TREE, AT_FDCWD, "/", (int)(intptr_t)argument);
}
static int open_tree_attr(const void *argument) {
  uint64_t attr[4] = {0};
  (void)argument;
  return (int)syscall(OPEN_TREE_ATTR, AT_FDCWD, "/", 1, attr, sizeof attr);
}
static int fspick_root(const void *argument) { return (int)syscall(FSPICK, AT_FDCWD, argument, 0); }
static int fsconfig_anything(const void *argument) {
  int fd = open("/", O_PATH | O_CLOEXEC);
  (void)argument;
  return (int)syscall(FSCONFIG, fd, 6, NULL, NULL, 0);
}
static int fsmount_anything(const void *argument) {
  int fd = open("/", O_PATH | O_CLOEXEC);
  (void)argument;
  return (int)syscall(FSMOUNT, fd, 0, 0);
}
static int move_mount_new(const void *argument) {
  int fd = open("/proc", O_PATH | O_CLOEXEC);
  (void)argument;
  mkdir("/tmp/m", 0755);
  return (int)syscall(MOVE_MOUNT, fd, "", AT_FDCWD, "/tmp/m", 4);
}
static int clear_read_only(const void *argument) {
  uint64_t attr[4] = {0, 0xf, 0, 0};
  return (int)syscall(MOUNT_SETATTR, AT_FDCWD, argument, 0, attr, sizeof attr);
}

static int pivot(const void *argument) {
  (void)argument;
  mkdir("/tmp/m", 0755);
  return (int)syscall(SYS_pivot_root, "/tmp/m", "/tmp/m");
}

static int change_root(const void *argument) {
  (void)argument;
  mkdir("/tmp/root", 0755);
  return chroot("/tmp/root");
}

/*
 * The classic: a directory descriptor from outside of the new root, and upwards from there. Works if it ends
 * anywhere but in our own root.
 */
static int climb_out(const void *argument) {
  struct stat top, now;
  (void)argument;
  int old = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (old < 0 || fstat(old, &top) != 0) return -1;
  mkdir("/tmp/root", 0755);
  if (chroot("/tmp/root") != 0 || fchdir(old) != 0) return -1;
  for (int i = 0; i < 64; i++)
    if (chdir("..") != 0) return -1;
  if (stat(".", &now) != 0 || chroot(".") != 0) return -1;
  if (sees_host(AT_FDCWD)) return 0;
  errno = EPERM;
  return now.st_dev == top.st_dev && now.st_ino == top.st_ino ? -1 : 0;
}

static int climb_parents(const void *argument) {
  char path[4096] = "";
  (void)argument;
  for (int i = 0; i < 1000; i++) strcat(path, "../");
  if (chdir(path) != 0) return -1;
  errno = EPERM;
  return sees_host(AT_FDCWD) ? 0 : -1;
}

/*
 * A mount made by somebody else after our start is to stay out of sight: no mount of ours may be shared or a
 * slave.
 */
static int receives_mounts(const void *argument) {
  static char text[1 << 16];
  (void)argument;
  int fd = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
  size_t length = 0;
  ssize_t got;
  if (fd < 0) return -1;
  while (length < sizeof text - 1 && (got = read(fd, text + length, sizeof text - 1 - length)) > 0)
    length += (size_t)got;
  text[length] = '\0';
  errno = EPERM;
  return strstr(text, " shared:") != NULL || strstr(text, " master:") != NULL ? 0 : -1;
}

void try_mounts(void) {
  for (size_t i = 0; i < sizeof plans / sizeof *plans; i++)
    attempt(mount_plan, &plans[i], "mount/%s", plans[i].name);
  static const char *const controllers[] = {
      "cpu",  "cpuacct", "cpuset",     "memory", "devices", "freezer",           "blkio",
      "pids", "net_cls", "perf_event", "rdma",   "misc",    "none,name=systemd", "none,name=mine"};
  for (size_t i = 0; i < sizeof controllers / sizeof *controllers; i++)
    attempt(mount_controller, controllers[i], "mount/cgroup-%s", controllers[i]);
  attempt(release_agent, NULL, "mount/cgroup-release-agent");
  static const struct change changes[] = {
      {"/", MS_SHARED},      {"/", MS_SLAVE | MS_REC}, {"/", MS_REMOUNT},
      {"/proc", MS_REMOUNT}, {"/sys", MS_REMOUNT},     {"/proc/sys", MS_REMOUNT | MS_BIND},
      {"/dev", MS_REMOUNT},  {"/proc", MS_UNBINDABLE},
  };
  for (size_t i = 0; i < sizeof changes / sizeof *changes; i++)
    attempt(change_mount, &changes[i], "mount/change-%lx-of-%s", changes[i].flags, changes[i].target);
  attempt(move_mount_old, "/proc", "mount/move-proc");
  attempt(move_mount_old, "/dev", "mount/move-dev");
  static const char *const covers[] = {"/",
                                       "/proc",
                                       "/dev",
                                       "/dev/pts",
                                       "/dev/shm",
                                       "/sys",
                                       "/proc/sys",
                                       "/proc/bus",
                                       "/proc/fs",
                                       "/proc/irq",
                                       "/proc/sysrq-trigger",
                                       "/proc/kcore",
                                       "/proc/keys",
                                       "/proc/timer_list",
                                       "/proc/kallsyms",
                                       "/proc/acpi",
                                       "/proc/scsi",
                                       "/proc/interrupts",
                                       "/proc/vmallocinfo",
                                       "/sys/firmware",
                                       "/proc/kpageflags"};
  for (size_t i = 0; i < sizeof covers / sizeof *covers; i++) {
    attempt(detach, covers[i], "umount/detach%s", covers[i]);
    attempt(force, covers[i], "umount/force%s", covers[i]);
  }
  static const char *const types[] = {"tmpfs", "proc", "sysfs", "cgroup", "overlay", "ext4"};
  for (size_t i = 0; i < sizeof types / sizeof *types; i++)
    attempt(fsopen_type, types[i], "mount-api/fsopen-%s", types[i]);
  attempt(open_tree_clone, (void *)1, "mount-api/open_tree-clone");
  attempt(open_tree_clone, (void *)0, "mount-api/open_tree");
  attempt(open_tree_clone, (void *)(intptr_t)(1 | 0x8000), "mount-api/open_tree-clone-recursive");
  attempt(open_tree_attr, NULL, "mount-api/open_tree_attr");
  attempt(fspick_root, "/", "mount-api/fspick-root");
  attempt(fspick_root, "/proc", "mount-api/fspick-proc");
  attempt(fsconfig_anything, NULL, "mount-api/fsconfig");
  attempt(fsmount_anything, NULL, "mount-api/fsmount");
  attempt(move_mount_new, NULL, "mount-api/move_mount");
  attempt(clear_read_only, "/proc/sys", "mount-api/mount_setattr-proc-sys");
  attempt(clear_read_only, "/", "mount-api/mount_setattr-root");
  attempt(pivot, NULL, "root/pivot");
  attempt(change_root, NULL, "root/chroot");
  attempt(climb_out, NULL, "root/escape-by-chroot");
  attempt(climb_parents, NULL, "root/escape-by-parents");
  attempt(receives_mounts, NULL, "root/mounts-propagate");
}
