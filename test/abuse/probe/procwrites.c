/*
 * Writing to the kernel's files. Where a value of the host could be changed, what is written is what is there
 * already.
 */
#include "probe.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Opening is enough: the kernel checks the right to write there. Nothing is written. */
static int opens_to_write(const void *argument) { return unless_null(open(argument, O_WRONLY | O_CLOEXEC)); }

static int writes(const char *path, const char *text) {
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return -1;
  return write(fd, text, strlen(text)) < 0 ? -1 : 0;
}

/* Through a descriptor that was opened without any right. */
static int reopens_to_write(const void *argument) {
  char path[64];
  int fd = open(argument, O_PATH | O_CLOEXEC);
  if (fd < 0) return -1;
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  return unless_null(open(path, O_WRONLY | O_CLOEXEC));
}

static int changes_mode(const void *argument) { return chmod(argument, 0666); }
static int removes(const void *argument) {
  struct stat facts;
  if (lstat(argument, &facts) != 0) return -1;
  return S_ISDIR(facts.st_mode) ? rmdir(argument) : unlink(argument);
}
static int renames(const void *argument) { return rename(argument, "/tmp/renamed"); }

struct walk {
  unsigned count;
  char first[PATH_MAX];
};

static void walk(const char *directory, int depth, struct walk *found) {
  DIR *entries = opendir(directory);
  struct dirent *entry;
  if (entries == NULL) return;
  while ((entry = readdir(entries)) != NULL) {
    char path[PATH_MAX];
    if (entry->d_name[0] == '.' ||
        snprintf(path, sizeof path, "%s/%s", directory, entry->d_name) >= (int)sizeof path)
      continue;
    struct stat facts;
    if (lstat(path, &facts) != 0) continue;
    if (S_ISDIR(facts.st_mode) && depth > 0) walk(path, depth - 1, found);
    if (!S_ISREG(facts.st_mode)) continue;
    int fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) continue;
    close(fd);
    if (found->count++ == 0) snprintf(found->first, sizeof found->first, "%s", path);
  }
  closedir(entries);
}

/* Every file below a directory: which can be opened for writing? */
static int writes_anything(const void *argument) {
  static struct walk found;
  struct stat facts;
  if (stat(argument, &facts) != 0) return -1;
  walk(argument, 12, &found);
  saw("%u,%s", found.count, found.first);
  errno = EROFS;
  return found.count > 0 ? 0 : -1;
}

static int writes_core_pattern(const void *argument) {
  char now[256];
  (void)argument;
  if (read_start("/proc/sys/kernel/core_pattern", now, sizeof now) <= 0) return -1;
  return writes("/proc/sys/kernel/core_pattern", now);
}

static int requests_help(const void *argument) {
  (void)argument;
  return writes("/proc/sysrq-trigger", "h");
}

static int writes_login_uid(const void *argument) {
  (void)argument;
  return writes("/proc/self/loginuid", "0");
}

void try_proc_writes(void) {
  static const char *const files[] = {
      "/proc/sys/kernel/core_pattern",
      "/proc/sys/kernel/modprobe",
      "/proc/sys/kernel/hotplug",
      "/proc/sys/kernel/poweroff_cmd",
      "/proc/sys/kernel/hostname",
      "/proc/sys/kernel/domainname",
      "/proc/sys/kernel/randomize_va_space",
      "/proc/sys/kernel/sysrq",
      "/proc/sys/kernel/panic",
      "/proc/sys/kernel/usermodehelper/bset",
      "/proc/sys/kernel/kptr_restrict",
      "/proc/sys/kernel/dmesg_restrict",
      "/proc/sys/kernel/shmmax",
      "/proc/sys/kernel/msgmax",
      "/proc/sys/kernel/ns_last_pid",
      "/proc/sys/kernel/unprivileged_bpf_disabled",
      "/proc/sys/vm/overcommit_memory",
      "/proc/sys/vm/drop_caches",
      "/proc/sys/vm/panic_on_oom",
      "/proc/sys/vm/swappiness",
      "/proc/sys/fs/file-max",
      "/proc/sys/fs/suid_dumpable",
      "/proc/sys/fs/binfmt_misc/register",
      "/proc/sys/fs/mqueue/queues_max",
      "/proc/sys/fs/protected_symlinks",
      "/proc/sys/net/ipv4/ip_forward",
      "/proc/sys/net/ipv4/conf/all/rp_filter",
      "/proc/sys/net/core/somaxconn",
      "/proc/sys/net/ipv4/ip_unprivileged_port_start",
      "/proc/sys/net/ipv4/ping_group_range",
      "/proc/sys/net/ipv6/conf/all/disable_ipv6",
      "/proc/sys/user/max_user_namespaces",
      "/proc/sysrq-trigger",
      "/proc/irq/default_smp_affinity",
      "/proc/irq/0/smp_affinity",
      "/proc/bus/pci/00/00.0",
      "/proc/fs/jbd2",
      "/proc/kcore",
      "/proc/kmsg",
      "/proc/timer_list",
      "/proc/scsi/scsi",
      "/proc/acpi/wakeup",
      "/proc/mtrr",
      "/proc/dynamic_debug/control",
      "/proc/self/setgroups",
      "/proc/self/uid_map",
      "/proc/self/projid_map",
      "/proc/self/timens_offsets",
      "/proc/pressure/cpu",
      "/proc/latency_stats",
      "/proc/slabinfo",
      "/proc/kpageflags",
      "/sys/kernel/uevent_helper",
      "/sys/kernel/mm/transparent_hugepage/enabled",
      "/sys/power/state",
      "/sys/kernel/profiling",
      "/sys/kernel/kexec_crash_size",
      "/sys/module/kernel/parameters/panic",
      "/sys/bus/pci/rescan",
      "/sys/class/net/lo/mtu",
      "/sys/firmware/efi/vars",
      "/sys/kernel/debug/tracing/trace",
      "/sys/block/loop0/queue/scheduler",
      "/sys/devices/system/cpu/cpu1/online",
  };
  for (size_t i = 0; i < sizeof files / sizeof *files; i++)
    attempt(opens_to_write, files[i], "write%s", files[i]);
  attempt(writes_core_pattern, NULL, "write-back/core_pattern");
  attempt(requests_help, NULL, "write-back/sysrq-help");
  attempt(writes_login_uid, NULL, "write-back/loginuid");
  attempt(writes_anything, "/proc/sys", "write-any/proc/sys");
  attempt(writes_anything, "/proc/irq", "write-any/proc/irq");
  attempt(writes_anything, "/proc/bus", "write-any/proc/bus");
  attempt(writes_anything, "/proc/fs", "write-any/proc/fs");
  attempt(writes_anything, "/proc/driver", "write-any/proc/driver");
  attempt(writes_anything, "/sys", "write-any/sys");
  static const char *const covers[] = {"/proc/sys",  "/proc/sysrq-trigger", "/proc/kcore",
                                       "/proc/keys", "/proc/timer_list",    "/proc/kallsyms",
                                       "/proc/acpi", "/proc/irq",           "/sys/firmware"};
  for (size_t i = 0; i < sizeof covers / sizeof *covers; i++) {
    attempt(reopens_to_write, covers[i], "cover/reopen%s", covers[i]);
    attempt(changes_mode, covers[i], "cover/chmod%s", covers[i]);
    attempt(removes, covers[i], "cover/remove%s", covers[i]);
    attempt(renames, covers[i], "cover/rename%s", covers[i]);
  }
}
