/* New namespaces, and those of others. */
#include "probe.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x80
#endif
#define SYS_CLONE3 435
#define SYS_PIDFD_OPEN 434

static const struct {
  const char *name;
  unsigned flag;
} kinds[] = {
    {"mnt", CLONE_NEWNS},    {"cgroup", CLONE_NEWCGROUP}, {"uts", CLONE_NEWUTS}, {"ipc", CLONE_NEWIPC},
    {"user", CLONE_NEWUSER}, {"pid", CLONE_NEWPID},       {"net", CLONE_NEWNET}, {"time", CLONE_NEWTIME},
};
#define KINDS (sizeof kinds / sizeof *kinds)

static int unshare_flags(const void *argument) { return unshare((int)(intptr_t)argument); }

/* All 255 combinations. */
static int unshare_any(const void *argument) {
  (void)argument;
  int error = 0;
  for (unsigned mask = 1; mask < 1u << KINDS; mask++) {
    unsigned flags = 0;
    for (size_t i = 0; i < KINDS; i++)
      if ((mask >> i & 1) != 0) flags |= kinds[i].flag;
    if (unshare((int)flags) == 0) {
      saw("0x%x", flags);
      return 0;
    }
    error = errno;
  }
  errno = error;
  return -1;
}

/* The new process ends at once. */
static int clone_flags(const void *argument) {
  long pid = raw_call(SYS_clone, (long)((uintptr_t)argument | SIGCHLD), 0, 0, 0, 0, 0);
  if (pid == 0) _exit(0);
  if (pid < 0) return -1;
  waitpid((pid_t)pid, NULL, __WALL);
  return 0;
}

static int clone3_flags(const void *argument) {
  struct {
    uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls;
  } arguments = {.flags = (uintptr_t)argument, .exit_signal = SIGCHLD};
  long pid = raw_call(SYS_CLONE3, (long)&arguments, sizeof arguments, 0, 0, 0, 0);
  if (pid == 0) _exit(0);
  if (pid < 0) return -1;
  waitpid((pid_t)pid, NULL, __WALL);
  return 0;
}

/* By unshare(2) of a thread group with flags that the kernel adds itself. */
static int user_namespace_in_thread(const void *argument) {
  (void)argument;
  return unshare(CLONE_NEWUSER | CLONE_FS | CLONE_FILES | CLONE_SYSVSEM);
}

static int enter_path(const void *argument) {
  int fd = open(argument, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return -1;
  return setns(fd, 0);
}

static int enter_init_by_pidfd(const void *argument) {
  int fd = (int)syscall(SYS_PIDFD_OPEN, 1, 0);
  if (fd < 0) return -1;
  return setns(fd, (int)(uintptr_t)argument);
}

/* To a namespace descriptor that arrived over a socket: where it came from must not matter. */
static int enter_passed(const void *argument) {
  int pair[2], own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), got;
  (void)argument;
  if (own < 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0) return -1;
  union {
    char space[CMSG_SPACE(sizeof(int))];
    struct cmsghdr align;
  } control = {.space = {0}};
  char byte = 'x';
  struct iovec data = {.iov_base = &byte, .iov_len = 1};
  struct msghdr message = {.msg_iov = &data,
                           .msg_iovlen = 1,
                           .msg_control = control.space,
                           .msg_controllen = sizeof control.space};
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof own);
  memcpy(CMSG_DATA(header), &own, sizeof own);
  if (sendmsg(pair[0], &message, 0) < 0 || recvmsg(pair[1], &message, 0) < 0) return -1;
  memcpy(&got, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof got);
  return setns(got, 0);
}

static int write_own_map(const void *argument) {
  int fd = open(argument, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return -1;
  return write(fd, "0 0 1\n", 6) < 0 ? -1 : 0;
}

/* Whether inside 0 is outside 0: the worst of all maps. */
static int root_is_host_root(const void *argument) {
  char text[4096];
  if (read_start(argument, text, sizeof text) <= 0) return inconclusive("no-map");
  for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
    unsigned inside, outside, count;
    if (sscanf(line, "%u %u %u", &inside, &outside, &count) != 3) continue;
    if (outside == 0 && count > 0) return 0;
  }
  errno = EPERM;
  return -1;
}

void try_namespaces(void) {
  for (size_t i = 0; i < KINDS; i++)
    attempt(unshare_flags, (void *)(uintptr_t)kinds[i].flag, "namespace/unshare-%s", kinds[i].name);
  attempt(unshare_any, NULL, "namespace/unshare-any-of-255");
  attempt(user_namespace_in_thread, NULL, "namespace/unshare-user-fs");
  for (size_t i = 0; i < KINDS; i++) {
    if (kinds[i].flag != CLONE_NEWTIME)
      attempt(clone_flags, (void *)(uintptr_t)kinds[i].flag, "namespace/clone-%s", kinds[i].name);
    attempt(clone3_flags, (void *)(uintptr_t)kinds[i].flag, "namespace/clone3-%s", kinds[i].name);
  }
  attempt(clone_flags, (void *)(uintptr_t)(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET),
          "namespace/clone-user-mnt-pid-net");
  attempt(clone_flags, (void *)(uintptr_t)CLONE_PARENT, "namespace/clone-parent");
  attempt(clone_flags, (void *)(uintptr_t)CLONE_PTRACE, "namespace/clone-ptrace");
  attempt(clone_flags, (void *)(uintptr_t)CLONE_UNTRACED, "namespace/clone-untraced");
  for (size_t i = 0; i < KINDS; i++) {
    char path[64];
    snprintf(path, sizeof path, "/proc/1/ns/%s", kinds[i].name);
    attempt(enter_path, path, "namespace/setns-init-%s", kinds[i].name);
    snprintf(path, sizeof path, "/proc/self/ns/%s", kinds[i].name);
    attempt(enter_path, path, "namespace/setns-own-%s", kinds[i].name);
  }
  attempt(enter_init_by_pidfd, (void *)(uintptr_t)(CLONE_NEWNS | CLONE_NEWNET), "namespace/setns-init-pidfd");
  attempt(enter_passed, NULL, "namespace/setns-passed-descriptor");
  attempt(write_own_map, "/proc/self/uid_map", "namespace/write-uid-map");
  attempt(write_own_map, "/proc/self/gid_map", "namespace/write-gid-map");
  attempt(root_is_host_root, "/proc/self/uid_map", "namespace/host-root-mapped");
  attempt(root_is_host_root, "/proc/self/gid_map", "namespace/host-group-0-mapped");
}
