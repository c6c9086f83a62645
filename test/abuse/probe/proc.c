/* What /proc and /sys tell, and other processes' files in /proc. */
#include "probe.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Works if it gives data: a mask is an empty file or directory, or the null device. */
static int gives_data(const void *argument) {
  char text[4096];
  struct stat facts;
  if (stat(argument, &facts) != 0) return -1;
  if (S_ISDIR(facts.st_mode)) {
    DIR *directory = opendir(argument);
    struct dirent *entry;
    int count = 0;
    if (directory == NULL) return -1;
    while ((entry = readdir(directory)) != NULL)
      count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    closedir(directory);
    errno = EACCES;
    return count > 0 ? 0 : -1;
  }
  ssize_t got = read_start(argument, text, sizeof text);
  if (got == 0) errno = EACCES;
  return got > 0 ? 0 : -1;
}

/* Addresses of the kernel; zeros are what kptr_restrict shows. */
static int gives_addresses(const void *argument) {
  char text[4096];
  ssize_t got = read_start(argument, text, sizeof text);
  if (got == 0) errno = EACCES;
  if (got <= 0) return -1;
  const char *at = strstr(text, "ffff");
  errno = EACCES;
  return at != NULL ? 0 : -1;
}

/* The same file through its descriptor, for reading. */
static int reopened(const void *argument) {
  char path[64];
  int fd = open(argument, O_PATH | O_CLOEXEC);
  if (fd < 0) return -1;
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  return gives_data(path);
}

static int reads_link(const void *argument) {
  char text[256];
  ssize_t got = readlink(argument, text, sizeof text - 1);
  if (got < 0) return -1;
  text[got] = '\0';
  saw("%s", text);
  return 0;
}

static int opens(const void *argument) { return open(argument, O_RDONLY | O_NONBLOCK | O_CLOEXEC); }
static int opens_to_write(const void *argument) { return open(argument, O_RDWR | O_CLOEXEC); }

static int is_number(const char *name) {
  return name[0] >= '1' && name[0] <= '9' && name[strspn(name, "0123456789")] == '\0';
}

/*
 * The root and working directory of every process: none may show the host's tree, or another root than ours.
 */
static int foreign_roots(const void *argument) {
  static const char *const links[] = {"root", "cwd"};
  struct stat own, other;
  DIR *proc = opendir("/proc");
  struct dirent *entry;
  (void)argument;
  if (proc == NULL || stat("/", &own) != 0) return -1;
  while ((entry = readdir(proc)) != NULL) {
    if (!is_number(entry->d_name)) continue;
    for (size_t i = 0; i < 2; i++) {
      char path[300];
      snprintf(path, sizeof path, "/proc/%s/%s", entry->d_name, links[i]);
      int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
      if (fd < 0) continue;
      bool is_other =
          i == 0 && fstat(fd, &other) == 0 && (own.st_dev != other.st_dev || own.st_ino != other.st_ino);
      if (sees_host(fd) || is_other) {
        saw("%s", path);
        return 0;
      }
      close(fd);
    }
  }
  errno = EACCES;
  return -1;
}

/* Upwards from a working directory that was not reached from our root, as CVE-2024-21626 did. */
static int foreign_descriptors(const void *argument) {
  DIR *directory = opendir("/proc/self/fd");
  struct dirent *entry;
  (void)argument;
  if (directory == NULL) return -1;
  while ((entry = readdir(directory)) != NULL) {
    int fd = atoi(entry->d_name);
    struct stat facts;
    char path[64], target[256];
    if (entry->d_name[0] == '.' || fd == dirfd(directory)) continue;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(path, target, sizeof target - 1);
    target[length < 0 ? 0 : length] = '\0';
    bool is_directory = fstat(fd, &facts) == 0 && S_ISDIR(facts.st_mode);
    if (fd > 2 || is_directory || sees_host(fd)) {
      saw("%d:%s", fd, target);
      return 0;
    }
  }
  errno = EACCES;
  return -1;
}

/* Every process but our own family, by its memory, its descriptors and its environment. */
static int foreign_file(const void *argument) {
  DIR *proc = opendir("/proc");
  struct dirent *entry;
  int found = 0, error = ENOENT;
  if (proc == NULL) return -1;
  while ((entry = readdir(proc)) != NULL) {
    char path[300];
    uint64_t group = 0, own = 0;
    if (!is_number(entry->d_name) || !status_number(entry->d_name, "NSpid", 10, &group) ||
        !status_number("self", "NSpid", 10, &own))
      continue;
    if (group >= own || (pid_t)group == getppid()) continue; /* ours, or the one who started us */
    if (getpgid((pid_t)group) == getpgid(getppid()) || getsid((pid_t)group) == getsid(0)) continue;
    snprintf(path, sizeof path, "/proc/%s/%s", entry->d_name, (const char *)argument);
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) {
      error = errno;
      continue;
    }
    char byte;
    if (strcmp(argument, "mem") == 0 || read(fd, &byte, 1) > 0) {
      found++;
      saw("%s", path);
    } else error = EACCES;
    close(fd);
  }
  closedir(proc);
  errno = error;
  return found > 0 ? 0 : -1;
}

/* A process that is none of this namespace's would show as 0 in what names parents. */
static int sees_host_processes(const void *argument) {
  uint64_t parent;
  (void)argument;
  if (!status_number("1", "PPid", 10, &parent)) return inconclusive("no-status");
  errno = ESRCH;
  return parent != 0 ? 0 : -1;
}

/* More than one line of this namespace's pid 1 would tell the pids outside. */
static int tells_outer_pids(const void *argument) {
  char text[4096];
  (void)argument;
  if (read_start("/proc/self/status", text, sizeof text) <= 0) return -1;
  const char *at = strstr(text, "\nNSpid:");
  if (at == NULL) return inconclusive("no-NSpid");
  strtok((char *)at + 7, "\n");
  unsigned one, other;
  errno = EACCES;
  return sscanf(at + 7, "%u %u", &one, &other) == 2 ? 0 : -1;
}

static int tells_host_path(const void *argument) {
  static char text[1 << 16];
  ssize_t got = read_start(argument, text, sizeof text);
  if (got <= 0) return -1;
  errno = EACCES;
  return strstr(text, "/depot/") != NULL || strstr(text, "upperdir=/") != NULL ? 0 : -1;
}

static int is_writable_directory(const char *path) {
  char file[300];
  snprintf(file, sizeof file, "%s/abuse-probe", path);
  int fd = open(file, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
  if (fd >= 0) unlink(file);
  return fd;
}

static int writes_below(const void *argument) {
  struct stat facts;
  return stat(argument, &facts) != 0 ? -1 : is_writable_directory(argument);
}

static int finds_control_groups(const void *argument) {
  static char text[1 << 16];
  (void)argument;
  if (read_start("/proc/self/mountinfo", text, sizeof text) <= 0) return -1;
  errno = ENOENT;
  return strstr(text, " - cgroup ") != NULL || strstr(text, " - cgroup2 ") != NULL ? 0 : -1;
}

void try_proc(void) {
  static const char *const hidden[] = {
      "/proc/acpi",
      "/proc/asound",
      "/proc/config.gz",
      "/proc/interrupts",
      "/proc/iomem",
      "/proc/ioports",
      "/proc/kallsyms",
      "/proc/kcore",
      "/proc/key-users",
      "/proc/keys",
      "/proc/kmsg",
      "/proc/kpagecgroup",
      "/proc/kpagecount",
      "/proc/kpageflags",
      "/proc/latency_stats",
      "/proc/modules",
      "/proc/sched_debug",
      "/proc/scsi",
      "/proc/slabinfo",
      "/proc/timer_list",
      "/proc/timer_stats",
      "/proc/vmallocinfo",
      "/proc/pagetypeinfo",
      "/proc/zoneinfo",
      "/proc/softirqs",
      "/proc/diskstats",
      "/proc/partitions",
      "/proc/swaps",
      "/proc/mtrr",
      "/proc/dma",
      "/proc/crypto",
      "/proc/cmdline",
      "/proc/buddyinfo",
      "/proc/schedstat",
      "/proc/pressure",
      "/proc/sysvipc/shm",
      "/proc/locks",
      "/proc/driver",
      "/proc/tty/drivers",
      "/proc/bus/pci/devices",
      "/proc/dynamic_debug",
      "/sys/firmware",
      "/sys/devices/virtual/powercap",
      "/sys/devices/system/cpu/cpu0/thermal_throttle",
      "/sys/kernel/debug",
      "/sys/kernel/tracing",
      "/sys/kernel/security",
      "/sys/kernel/vmcoreinfo",
      "/sys/kernel/notes",
      "/sys/kernel/slab",
      "/sys/fs/cgroup",
      "/sys/fs/bpf",
      "/sys/fs/pstore",
      "/sys/block",
      "/sys/class/net",
      "/sys/module",
      "/sys/bus/pci/devices",
      "/sys/hypervisor",
      "/dev/mem",
      "/dev/kmem",
      "/dev/port",
      "/dev/kmsg",
      "/dev/cpu/0/msr",
  };
  for (size_t i = 0; i < sizeof hidden / sizeof *hidden; i++)
    attempt(gives_data, hidden[i], "read%s", hidden[i]);
  static const char *const masked[] = {"/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/kallsyms",
                                       "/proc/acpi",  "/proc/scsi", "/proc/interrupts"};
  for (size_t i = 0; i < sizeof masked / sizeof *masked; i++)
    attempt(reopened, masked[i], "reopen%s", masked[i]);
  static const char *const addresses[] = {"/proc/kallsyms",    "/proc/modules",    "/proc/timer_list",
                                          "/proc/vmallocinfo", "/proc/self/stack", "/proc/net/tcp",
                                          "/proc/net/unix",    "/proc/net/packet", "/proc/net/netlink",
                                          "/proc/1/stack",     "/proc/self/wchan", "/proc/sysvipc/shm"};
  for (size_t i = 0; i < sizeof addresses / sizeof *addresses; i++)
    attempt(gives_addresses, addresses[i], "addresses%s", addresses[i]);
  static const char *const of_init[] = {
      "mem", "environ",     "maps",   "smaps",      "auxv",      "stack", "syscall", "pagemap",
      "io",  "personality", "timers", "mountstats", "map_files", "fd",    "fdinfo",  "task/1/mem"};
  for (size_t i = 0; i < sizeof of_init / sizeof *of_init; i++) {
    char path[64];
    snprintf(path, sizeof path, "/proc/1/%s", of_init[i]);
    attempt(gives_data, path, "init/read-%s", of_init[i]);
  }
  static const char *const links[] = {"exe", "root", "cwd", "ns/mnt", "ns/pid", "ns/user", "fd/0", "fd/3"};
  for (size_t i = 0; i < sizeof links / sizeof *links; i++) {
    char path[64];
    snprintf(path, sizeof path, "/proc/1/%s", links[i]);
    attempt(reads_link, path, "init/link-%s", links[i]);
  }
  attempt(opens, "/proc/1/exe", "init/open-exe");
  attempt(opens_to_write, "/proc/1/exe", "init/write-exe");
  attempt(opens_to_write, "/proc/1/mem", "init/write-mem");
  attempt(opens_to_write, "/proc/1/oom_score_adj", "init/write-oom-score");
  attempt(opens_to_write, "/proc/1/clear_refs", "init/write-clear-refs");
  attempt(opens_to_write, "/proc/1/coredump_filter", "init/write-coredump-filter");
  attempt(opens_to_write, "/proc/1/comm", "init/write-comm");
  attempt(foreign_roots, NULL, "proc/foreign-roots");
  attempt(foreign_descriptors, NULL, "proc/inherited-descriptors");
  attempt(foreign_file, "mem", "proc/foreign-mem");
  attempt(foreign_file, "environ", "proc/foreign-environ");
  attempt(foreign_file, "maps", "proc/foreign-maps");
  attempt(sees_host_processes, NULL, "proc/host-processes");
  attempt(tells_outer_pids, NULL, "proc/outer-pids");
  attempt(tells_host_path, "/proc/self/mountinfo", "proc/host-paths-in-mountinfo");
  attempt(finds_control_groups, NULL, "cgroup/mounted");
  static const char *const groups[] = {"/sys/fs/cgroup",         "/sys/fs/cgroup/memory",
                                       "/sys/fs/cgroup/devices", "/sys/fs/cgroup/pids",
                                       "/sys/fs/cgroup/unified", "/cgroup"};
  for (size_t i = 0; i < sizeof groups / sizeof *groups; i++)
    attempt(writes_below, groups[i], "cgroup/write%s", groups[i]);
  attempt(opens_to_write, "/sys/fs/cgroup/devices/devices.allow", "cgroup/devices-allow");
  attempt(opens_to_write, "/sys/fs/cgroup/memory/release_agent", "cgroup/release-agent");
  attempt(opens_to_write, "/sys/fs/cgroup/cgroup.procs", "cgroup/leave");
}
