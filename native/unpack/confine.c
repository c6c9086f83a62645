#include "confine.h"

#include "failure.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/mount.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined __x86_64__
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined __aarch64__
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#else
#error "the system-call filter knows x86_64 and aarch64"
#endif

/* Whatever else the C library might ask for, it does not get; a call that is not here ends the process. */
static const uint32_t calls[] = {
    SYS_read,       SYS_write,     SYS_readv,      SYS_writev,     SYS_close,        SYS_fstat,
    SYS_newfstatat, SYS_lseek,     SYS_openat,     SYS_mkdirat,    SYS_mknodat,      SYS_symlinkat,
    SYS_linkat,     SYS_unlinkat,  SYS_readlinkat, SYS_fchown,     SYS_fchownat,     SYS_fchmod,
    SYS_fgetxattr,  SYS_fsetxattr, SYS_flistxattr, SYS_utimensat,  SYS_getdents64,   SYS_ftruncate,
    SYS_fsync,      SYS_syncfs,    SYS_fcntl,      SYS_brk,        SYS_mmap,         SYS_munmap,
    SYS_mremap,     SYS_madvise,   SYS_exit,       SYS_exit_group, SYS_rt_sigreturn,
};

#define CALLS (sizeof calls / sizeof *calls)

static int filter_calls(void) {
  struct sock_filter program[CALLS * 2 + 9];
  size_t length = 0;
  program[length++] =
      (struct sock_filter){BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(struct seccomp_data, arch)};
  program[length++] = (struct sock_filter){BPF_JMP | BPF_JEQ | BPF_K, 1, 0, ARCHITECTURE};
  program[length++] = (struct sock_filter){BPF_RET | BPF_K, 0, 0, SECCOMP_RET_KILL_PROCESS};
  program[length++] = (struct sock_filter){BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(struct seccomp_data, nr)};
  for (size_t i = 0; i < CALLS; i++) {
    program[length++] = (struct sock_filter){BPF_JMP | BPF_JEQ | BPF_K, 0, 1, calls[i]};
    program[length++] = (struct sock_filter){BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW};
  }
  /* with which malloc(3) gets memory where brk(2) gives none */
  program[length++] = (struct sock_filter){BPF_JMP | BPF_JEQ | BPF_K, 0, 3, SYS_mprotect};
  program[length++] =
      (struct sock_filter){BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(struct seccomp_data, args[2])};
  program[length++] = (struct sock_filter){BPF_JMP | BPF_JSET | BPF_K, 1, 0, PROT_EXEC};
  program[length++] = (struct sock_filter){BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW};
  program[length++] = (struct sock_filter){BPF_RET | BPF_K, 0, 0, SECCOMP_RET_KILL_PROCESS};
  const struct sock_fprog whole = {.len = (unsigned short)length, .filter = program};
  return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &whole) == 0 ? 0 : fail("confine", "system calls");
}

/* SYS_ADMIN is for one thing, the mark of the kernel's union: with these system calls it can do no other. */
static int drop_capabilities(void) {
  const unsigned kept = 1u << CAP_CHOWN | 1u << CAP_DAC_OVERRIDE | 1u << CAP_DAC_READ_SEARCH |
                        1u << CAP_FOWNER | 1u << CAP_FSETID | 1u << CAP_SYS_ADMIN;
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct data[2] = {
      {.effective = kept | 1u << CAP_SETFCAP, .permitted = kept | 1u << CAP_SETFCAP}, {0}};
  for (int i = 0; i < 64; i++)
    if (prctl(PR_CAPBSET_DROP, i, 0, 0, 0) != 0 && errno != EINVAL) return fail("confine", "capabilities");
  if (syscall(SYS_capset, &header, data) != 0) return fail("confine", "capabilities");
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 ? 0 : fail("confine", "privileges");
}

static void limit(void) {
  struct rlimit files, none = {0, 0};
  setrlimit(RLIMIT_CORE, &none);
  if (getrlimit(RLIMIT_NOFILE, &files) != 0) return;
  files.rlim_cur = files.rlim_max; /* each level of a tree holds a descriptor */
  setrlimit(RLIMIT_NOFILE, &files);
}

/* A copy of the mount at `path`, of the part that begins there. */
static int clone_tree(const char *path, bool writable) {
  int tree =
      (int)syscall(SYS_open_tree, AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW);
  struct mount_attr attr = {.attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC |
                                        (writable ? 0 : MOUNT_ATTR_RDONLY),
                            .propagation = MS_PRIVATE};
  if (tree < 0 || syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attr, sizeof attr) != 0)
    return fail("open", path);
  return tree;
}

static int leave_root(const char *place) {
  if (mount("warden", place, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=64k,mode=0700") != 0 ||
      chdir(place) != 0)
    return fail("confine", "root");
  return 0;
}

static int enter(const int *trees, size_t count) {
  char name[32];
  for (size_t i = 0; i < count; i++) {
    snprintf(name, sizeof name, "%zu", i);
    if (mkdir(name, 0700) != 0 ||
        syscall(SYS_move_mount, trees[i], "", AT_FDCWD, name, MOVE_MOUNT_F_EMPTY_PATH) != 0)
      return fail("confine", "trees");
    close(trees[i]);
  }
  if (syscall(SYS_pivot_root, ".", ".") != 0 || umount2(".", MNT_DETACH) != 0 || chdir("/") != 0)
    return fail("confine", "root");
  return 0;
}

int confine(const char *const *paths, size_t count, int *trees) {
  limit();
  umask(0);
  if (unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS) != 0)
    return fail("confine", "namespaces");
  if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) return fail("confine", "mounts");
  for (size_t i = 0; i < count; i++)
    if ((trees[i] = clone_tree(paths[i], i == 0)) < 0) return -1;
  if (leave_root(paths[0]) != 0 || enter(trees, count) != 0) return -1;
  for (size_t i = 0; i < count; i++) {
    char name[32];
    snprintf(name, sizeof name, "/%zu", i);
    trees[i] = open(name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (trees[i] < 0) return fail("open", paths[i]);
  }
  if (drop_capabilities() != 0) return -1;
  return filter_calls();
}
