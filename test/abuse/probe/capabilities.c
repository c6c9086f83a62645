/*
 * What the process is allowed to be: capabilities, set-user-id programs, no-new-privileges, groups, and the
 * filter of system calls itself.
 */
#include "probe.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *const names[] = {
    "chown",
    "dac_override",
    "dac_read_search",
    "fowner",
    "fsetid",
    "kill",
    "setgid",
    "setuid",
    "setpcap",
    "linux_immutable",
    "net_bind_service",
    "net_broadcast",
    "net_admin",
    "net_raw",
    "ipc_lock",
    "ipc_owner",
    "sys_module",
    "sys_rawio",
    "sys_chroot",
    "sys_ptrace",
    "sys_pacct",
    "sys_admin",
    "sys_boot",
    "sys_nice",
    "sys_resource",
    "sys_time",
    "sys_tty_config",
    "mknod",
    "lease",
    "audit_write",
    "audit_control",
    "setfcap",
    "mac_override",
    "mac_admin",
    "syslog",
    "wake_alarm",
    "block_suspend",
    "audit_read",
    "perfmon",
    "bpf",
    "checkpoint_restore",
};
#define COUNT (int)(sizeof names / sizeof *names)

static int is_effective(const void *argument) {
  uint64_t value;
  if (!status_number("self", "CapEff", 16, &value)) return inconclusive("no-status");
  errno = EPERM;
  return (value >> (intptr_t)argument & 1) != 0 ? 0 : -1;
}

static int is_bounding(const void *argument) {
  int answer = prctl(PR_CAPBSET_READ, (long)(intptr_t)argument);
  if (answer == 0) errno = EPERM;
  return answer == 1 ? 0 : -1;
}

/* Any bit of the set at all: these two are to be empty. */
static int any_in(const void *argument) {
  uint64_t value;
  if (!status_number("self", argument, 16, &value)) return inconclusive("no-status");
  saw("%llx", (unsigned long long)value);
  errno = EPERM;
  return value != 0 ? 0 : -1;
}

/* Asks for every capability. The kernel refuses, or it grants more than there was. */
static int raise_capabilities(const void *argument) {
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct data[2];
  memset(data, argument == NULL ? 0xff : 0, sizeof data);
  if (argument != NULL) {
    if (syscall(SYS_capget, &header, data) != 0) return -1;
    data[0].inheritable = data[1].inheritable = ~0u;
  }
  return (int)syscall(SYS_capset, &header, data);
}

static int raise_ambient(const void *argument) {
  (void)argument;
  for (int i = 0; i < COUNT; i++)
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, i, 0, 0) == 0) return 0;
  return -1;
}

static int drop_no_new_privileges(const void *argument) {
  (void)argument;
  return prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0);
}

static int may_gain_privileges(const void *argument) {
  (void)argument;
  errno = EPERM;
  return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0 ? 0 : -1;
}

static int is_unfiltered(const void *argument) {
  uint64_t mode;
  (void)argument;
  if (!status_number("self", "Seccomp", 10, &mode)) return inconclusive("no-status");
  errno = EPERM;
  return mode == 2 ? -1 : 0;
}

/*
 * Starts a program of the image that carries rights of its own, which tells by its exit status whether it got
 * them.
 */
static int start_gifted(const void *argument) {
  if (access(argument, X_OK) != 0) return -1;
  pid_t pid = fork();
  if (pid == 0) {
    execl(argument, "gifted", (char *)NULL);
    _exit(errno == EPERM ? 97 : 98);
  }
  int status;
  if (waitpid(pid, &status, 0) < 0) return -1;
  if (!WIFEXITED(status) || WEXITSTATUS(status) == 98) return inconclusive("not-started");
  errno = EPERM; /* 97: the kernel does not even start it, because it would get less than it asks for */
  return WEXITSTATUS(status) == 0 ? 0 : -1;
}

static int become_root(const void *argument) {
  (void)argument;
  /* root is root already */
  if (getuid() == 0) return inconclusive("is-root");
  return setresuid(0, 0, 0);
}

/* Groups beyond those of the user: 0 for a user, any for root. */
static int has_foreign_group(const void *argument) {
  (void)argument;
  gid_t groups[256];
  int count = getgroups(256, groups);
  if (count < 0) return -1;
  for (int i = 0; i < count; i++) {
    if (groups[i] == getgid() || (getuid() == 0 && groups[i] == 0)) continue;
    saw("%u", groups[i]);
    return 0;
  }
  errno = EPERM;
  return -1;
}

static int add_group(const void *argument) {
  gid_t group = (gid_t)(intptr_t)argument;
  return setgroups(1, &group);
}

/* A filter of our own that lets everything through: the stricter one must win. */
static int allow_everything(const void *argument) {
  struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  struct sock_fprog program = {.len = 1, .filter = &allow};
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, (unsigned)(intptr_t)argument, &program) < 0) return -1;
  return mount("none", "/tmp", "tmpfs", 0, NULL);
}

static int leave_filter(const void *argument) {
  int mode = (int)(intptr_t)argument;
  if (prctl(PR_SET_SECCOMP, mode, NULL, 0, 0) != 0) return -1;
  uint64_t value;
  return status_number("self", "Seccomp", 10, &value) && value == 0 ? 0 : inconclusive("still-filtered");
}

void try_capabilities(void) {
  for (intptr_t i = 0; i < COUNT; i++) attempt(is_effective, (void *)i, "capability/effective/%s", names[i]);
  for (intptr_t i = 0; i < COUNT; i++) attempt(is_bounding, (void *)i, "capability/bounding/%s", names[i]);
  attempt(any_in, "CapInh", "capability/inheritable");
  attempt(any_in, "CapAmb", "capability/ambient");
  attempt(raise_capabilities, NULL, "capability/raise-all");
  attempt(raise_capabilities, "", "capability/raise-inheritable");
  attempt(raise_ambient, NULL, "capability/raise-ambient");
  attempt(may_gain_privileges, NULL, "privileges/by-exec");
  attempt(drop_no_new_privileges, NULL, "privileges/clear-no-new-privs");
  attempt(start_gifted, "/gifted/setuid", "privileges/setuid-program");
  attempt(start_gifted, "/gifted/setgid", "privileges/setgid-program");
  attempt(start_gifted, "/gifted/all-capabilities", "privileges/file-with-all-capabilities");
  attempt(start_gifted, "/gifted/one-capability", "privileges/file-with-one-capability");
  attempt(become_root, NULL, "privileges/setuid-0");
  attempt(has_foreign_group, NULL, "privileges/foreign-group");
  attempt(add_group, (void *)0, "privileges/setgroups-0");
  attempt(add_group, (void *)70000, "privileges/setgroups-unmapped");
  attempt(is_unfiltered, NULL, "filter/none");
  attempt(allow_everything, (void *)0, "filter/allow-all-then-mount");
  attempt(allow_everything, (void *)SECCOMP_FILTER_FLAG_TSYNC, "filter/tsync-then-mount");
  attempt(allow_everything, (void *)SECCOMP_FILTER_FLAG_NEW_LISTENER, "filter/new-listener-then-mount");
  attempt(leave_filter, (void *)0, "filter/disable");
}
