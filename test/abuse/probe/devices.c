/* Device nodes: those that are there, those that one can make, and those that came with the image. */
#include "probe.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

struct device {
  const char *name;
  mode_t type;
  unsigned major, minor;
};

static const struct device forbidden[] = {
    {"mem", S_IFCHR, 1, 1},          {"kmem", S_IFCHR, 1, 2},
    {"port", S_IFCHR, 1, 4},         {"kmsg", S_IFCHR, 1, 11},
    {"tty0", S_IFCHR, 4, 0},         {"ttyS0", S_IFCHR, 4, 64},
    {"console", S_IFCHR, 5, 1},      {"loop-control", S_IFCHR, 10, 237},
    {"kvm", S_IFCHR, 10, 232},       {"fuse", S_IFCHR, 10, 229},
    {"tun", S_IFCHR, 10, 200},       {"autofs", S_IFCHR, 10, 235},
    {"vhost-net", S_IFCHR, 10, 238}, {"userfaultfd", S_IFCHR, 10, 126},
    {"rtc", S_IFCHR, 254, 0},        {"hpet", S_IFCHR, 10, 228},
    {"input", S_IFCHR, 13, 64},      {"msr", S_IFCHR, 202, 0},
    {"ppp", S_IFCHR, 108, 0},        {"snapshot", S_IFCHR, 10, 231},
    {"sda", S_IFBLK, 8, 0},          {"loop0", S_IFBLK, 7, 0},
    {"vda", S_IFBLK, 254, 0},        {"ram0", S_IFBLK, 1, 0},
    {"nvme", S_IFBLK, 259, 0},       {"dm-0", S_IFBLK, 253, 0},
};

static int make_and_open(const void *argument) {
  const struct device *device = argument;
  char path[64];
  snprintf(path, sizeof path, "/tmp/node-%s", device->name);
  unlink(path);
  if (mknod(path, device->type | 0666, makedev(device->major, device->minor)) != 0) return -1;
  int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  int error = errno;
  unlink(path);
  errno = error;
  return fd;
}

/* Making alone: a node that cannot be opened today may be tomorrow, by somebody on the host. */
static int make_only(const void *argument) {
  const struct device *device = argument;
  unlink("/tmp/node");
  int result = mknod("/tmp/node", device->type | 0666, makedev(device->major, device->minor));
  int error = errno;
  unlink("/tmp/node");
  errno = error;
  return result;
}

static int opens(const void *argument) {
  return open(argument, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

/* /dev holds the eight, three links to descriptors, and its directories; what else there is is told. */
static int unusual_entry(const void *argument) {
  static const char *const usual[] = {".",       "..",    "null",   "zero",   "full", "random",
                                      "urandom", "tty",   "ptmx",   "pts",    "shm",  "mqueue",
                                      "fd",      "stdin", "stdout", "stderr", "core"};
  DIR *directory = opendir("/dev");
  struct dirent *entry;
  (void)argument;
  if (directory == NULL) return -1;
  while ((entry = readdir(directory)) != NULL) {
    bool known = false;
    for (size_t i = 0; i < sizeof usual / sizeof *usual; i++)
      known = known || strcmp(usual[i], entry->d_name) == 0;
    if (known) continue;
    saw("%s", entry->d_name);
    return 0;
  }
  errno = ENOENT;
  return -1;
}

static const struct device usual[] = {
    {"null", S_IFCHR, 1, 3},    {"zero", S_IFCHR, 1, 5}, {"full", S_IFCHR, 1, 7}, {"random", S_IFCHR, 1, 8},
    {"urandom", S_IFCHR, 1, 9}, {"tty", S_IFCHR, 5, 0},  {"ptmx", S_IFCHR, 5, 2},
};

/* One of the eight that is something else than its name says. */
static int is_not_itself(const void *argument) {
  const struct device *device = argument;
  char path[64];
  struct stat facts;
  snprintf(path, sizeof path, "/dev/%s", device->name);
  if (stat(path, &facts) != 0) return -1;
  bool same =
      (facts.st_mode & S_IFMT) == device->type && facts.st_rdev == makedev(device->major, device->minor);
  saw("%u:%u", major(facts.st_rdev), minor(facts.st_rdev));
  errno = EPERM;
  return same ? -1 : 0;
}

/* The seven are there: a container without them is of no use. This one is to be open. */
static int works(const void *argument) {
  char path[64];
  snprintf(path, sizeof path, "/dev/%s", ((const struct device *)argument)->name);
  if (strcmp(path, "/dev/tty") == 0) return access(path, F_OK);
  return open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
}

static int writes_into_dev(const void *argument) {
  (void)argument;
  int fd = open("/dev/abuse-probe", O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
  if (fd >= 0) unlink("/dev/abuse-probe");
  return fd;
}

static int replaces_null(const void *argument) {
  (void)argument;
  if (rename("/dev/null", "/dev/null-before") != 0) return -1;
  return rename("/dev/null-before", "/dev/null");
}

static int raises_entropy(const void *argument) {
  (void)argument;
  int fd = open("/dev/random", O_RDWR | O_CLOEXEC), bits = 8;
  if (fd < 0) return -1;
  return ioctl(fd, 0x40045201, &bits); /* RNDADDTOENTCNT */
}

static int clears_entropy(const void *argument) {
  (void)argument;
  int fd = open("/dev/random", O_RDWR | O_CLOEXEC);
  if (fd < 0) return -1;
  return ioctl(fd, 0x5204); /* RNDZAPENTCNT */
}

void try_devices(void) {
  for (size_t i = 0; i < sizeof forbidden / sizeof *forbidden; i++)
    attempt(make_and_open, &forbidden[i], "device/make-and-open-%s", forbidden[i].name);
  static const struct device character = {"chr", S_IFCHR, 10, 229}, block = {"blk", S_IFBLK, 7, 0},
                             known = {"null", S_IFCHR, 1, 3}, whiteout = {"whiteout", S_IFCHR, 0, 0};
  attempt(make_only, &character, "device/mknod-character");
  attempt(make_only, &block, "device/mknod-block");
  attempt(make_only, &known, "device/mknod-null");
  attempt(make_only, &whiteout, "device/mknod-whiteout");
  static const char *const of_image[] = {"/nodes/mem", "/nodes/disk", "/nodes/null", "/nodes/kmsg"};
  for (size_t i = 0; i < sizeof of_image / sizeof *of_image; i++)
    attempt(opens, of_image[i], "device/of-image%s", of_image[i]);
  static const char *const paths[] = {
      "/dev/mem",         "/dev/kmem",           "/dev/kmsg",         "/dev/port",   "/dev/fuse",
      "/dev/kvm",         "/dev/net/tun",        "/dev/loop-control", "/dev/loop0",  "/dev/vda",
      "/dev/sda",         "/dev/console",        "/dev/tty0",         "/dev/autofs", "/dev/userfaultfd",
      "/dev/vhost-vsock", "/dev/mapper/control", "/dev/snapshot"};
  for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
    attempt(opens, paths[i], "device/open%s", paths[i]);
  attempt(unusual_entry, NULL, "device/unusual-entry");
  for (size_t i = 0; i < sizeof usual / sizeof *usual; i++)
    attempt(is_not_itself, &usual[i], "device/other-than-%s", usual[i].name);
  for (size_t i = 0; i < sizeof usual / sizeof *usual; i++)
    attempt(works, &usual[i], "device/usable-%s", usual[i].name);
  attempt(writes_into_dev, NULL, "device/write-into-dev");
  attempt(replaces_null, NULL, "device/rename-null");
  attempt(raises_entropy, NULL, "device/add-entropy");
  attempt(clears_entropy, NULL, "device/clear-entropy");
}
