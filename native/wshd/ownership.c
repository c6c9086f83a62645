#include "ownership.h"

#include "accounts.h"
#include "format.h"
#include "inroot.h"
#include "report.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define ALL_IDS 4294967295u
#define LOWER "lowerdir="

/* Where the option's value begins and ends; NULL if it is not there. A backslash protects what follows it. */
static const char *find_lower(const char *data, const char **end) {
  for (const char *word = data; *word != '\0';) {
    const char *stop = word;
    while (*stop != '\0' && *stop != ',') stop += stop[0] == '\\' && stop[1] != '\0' ? 2 : 1;
    if (strncmp(word, LOWER, sizeof LOWER - 1) == 0) {
      *end = stop;
      return word + sizeof LOWER - 1;
    }
    word = *stop == '\0' ? stop : stop + 1;
  }
  return NULL;
}

char *ownership_overlay_base(const char *data) {
  const char *end, *from = find_lower(data, &end);
  char *base = from == NULL ? NULL : malloc((size_t)(end - from) + 1), *to = base;
  for (; base != NULL && from < end; from++) {
    if (*from == ':') { /* several layers: which of them has the file is the kernel's business */
      free(base);
      return NULL;
    }
    if (*from == '\\' && from + 1 < end) from++;
    *to++ = *from;
  }
  if (base != NULL) *to = '\0';
  return base;
}

char *ownership_overlay_rebased(const char *data, const char *lower) {
  const char *end, *from = find_lower(data, &end);
  size_t size = strlen(data) + strlen(lower) + 1;
  char *rebased = from == NULL ? NULL : malloc(size);
  if (rebased == NULL) return NULL;
  size_t head = (size_t)(from - data);
  memcpy(rebased, data, head);
  format(rebased + head, size - head, "%s%s", lower, end);
  return rebased;
}

void ownership_ask(struct ownership *ownership, const struct plan_user *user, int root) {
  size_t length;
  struct account account;
  char *passwd = inroot_read(root, "/etc/passwd", ACCOUNT_FILE_MAX, &length), *group = inroot_read(root, "/etc/group", ACCOUNT_FILE_MAX, &length);
  ownership->known = true;
  ownership->new_uid = user->uid;
  ownership->new_gid = user->gid;
  /* what belongs to root stays root's, whoever else has the number 0 */
  if (passwd != NULL && account_find(passwd, user->name, &account) && account.uid != 0) {
    ownership->old_uid = account.uid;
    ownership->uid = account.uid != user->uid;
  }
  if (group != NULL && account_find_gid(group, user->name, &ownership->old_gid)) ownership->gid = ownership->old_gid != 0 && ownership->old_gid != user->gid;
  free(passwd);
  free(group);
}

/*
 * Every number as it is, but the two for each other: so each file still has an owner, and a file of the image that happens to have the
 * container's number does not become the user's. A line says: on the disk, to be seen, how many.
 */
static void map_text(char *text, size_t size, bool differs, unsigned one, unsigned other) {
  unsigned low = one < other ? one : other, high = one < other ? other : one;
  if (!differs) {
    format(text, size, "0 0 %u\n", ALL_IDS);
    return;
  }
  size_t at = low == 0 ? 0 : format(text, size, "0 0 %u\n", low);
  at += format(text + at, size - at, "%u %u 1\n", low, high);
  if (high - low > 1) at += format(text + at, size - at, "%u %u %u\n", low + 1, low + 1, high - low - 1);
  at += format(text + at, size - at, "%u %u 1\n", high, low);
  if (high + 1 < ALL_IDS) format(text + at, size - at, "%u %u %u\n", high + 1, high + 1, ALL_IDS - high - 1);
}

static bool write_map(pid_t pid, const char *name, const char *text) {
  char path[64];
  format(path, sizeof path, "/proc/%d/%s", pid, name);
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  bool written = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
  if (fd >= 0) close(fd);
  return written;
}

/* A user namespace is made by a process in it; the process is gone when this answers. */
static int make_mapping(const struct ownership *ownership) {
  char uids[160], gids[160], path[64];
  map_text(uids, sizeof uids, ownership->uid, ownership->old_uid, ownership->new_uid);
  map_text(gids, sizeof gids, ownership->gid, ownership->old_gid, ownership->new_gid);
  pid_t pid = (pid_t)syscall(SYS_clone, (unsigned long)(CLONE_NEWUSER | SIGCHLD), NULL, NULL, NULL, NULL);
  if (pid < 0) return -1;
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;) pause();
  }
  format(path, sizeof path, "/proc/%d/ns/user", pid);
  int mapping = write_map(pid, "uid_map", uids) && write_map(pid, "gid_map", gids) ? open(path, O_RDONLY | O_CLOEXEC) : -1;
  kill(pid, SIGKILL);
  while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) continue;
  return mapping;
}

void ownership_prepare(struct ownership *ownership, const struct plan *plan) {
  const struct plan_mount *first = &plan->mounts[0];
  char *lower = NULL;
  *ownership = (struct ownership){.mapping = -1};
  if (plan->user.name == NULL) return;
  if (strcmp(first->type, "overlay") == 0) lower = ownership_overlay_base(first->data);
  const char *base = lower != NULL ? lower : (first->flags & MS_BIND) != 0 ? first->source : NULL;
  int root = base == NULL ? -1 : open(base, O_PATH | O_DIRECTORY | O_CLOEXEC);
  free(lower);
  if (root < 0) return;
  ownership_ask(ownership, &plan->user, root);
  close(root);
  if (ownership_differs(ownership)) ownership->mapping = make_mapping(ownership);
}

int ownership_mapped(const struct ownership *ownership, const char *path) {
  struct mount_attr attr = {.attr_set = MOUNT_ATTR_IDMAP | MOUNT_ATTR_RDONLY, .propagation = MS_PRIVATE, .userns_fd = (uint64_t)(unsigned)ownership->mapping};
  if (ownership->mapping < 0) return -1;
  int tree = (int)syscall(SYS_open_tree, AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
  if (tree >= 0 && syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attr, sizeof attr) == 0) return tree;
  if (tree >= 0) close(tree);
  return -1;
}

static int change_one(const struct ownership *ownership, int directory, const char *name, const struct stat *facts) {
  bool uid = ownership->uid && facts->st_uid == ownership->old_uid, gid = ownership->gid && facts->st_gid == ownership->old_gid;
  if (!uid && !gid) return 0;
  return fchownat(directory, name, uid ? ownership->new_uid : (uid_t)-1, gid ? ownership->new_gid : (gid_t)-1, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH);
}

static int change_below(const struct ownership *ownership, int directory);

/* Other mounts are not entered: each has its own turn, or is somebody else's. */
static int change_entry(const struct ownership *ownership, int directory, const char *name) {
  struct open_how how = {.flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, .resolve = RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH};
  struct stat facts;
  if (fstatat(directory, name, &facts, AT_SYMLINK_NOFOLLOW) != 0) return -1;
  if (!S_ISDIR(facts.st_mode)) return change_one(ownership, directory, name, &facts);
  int inner = (int)syscall(SYS_openat2, directory, name, &how, sizeof how);
  if (inner < 0) return errno == EXDEV ? 0 : -1;
  if (fstat(inner, &facts) == 0 && change_one(ownership, inner, "", &facts) == 0) return change_below(ownership, inner);
  close(inner);
  return -1;
}

/* Closes the directory. A failure is reported by the innermost name. */
static int change_below(const struct ownership *ownership, int directory) {
  DIR *list = fdopendir(directory);
  int result = 0;
  if (list == NULL) {
    close(directory);
    return report_errno("owner", "directory");
  }
  for (struct dirent *entry; result == 0 && (entry = readdir(list)) != NULL;) {
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    errno = 0;
    result = change_entry(ownership, directory, entry->d_name);
    if (result != 0 && errno != 0) report_errno("owner", entry->d_name);
    if (result != 0) errno = 0; /* told */
  }
  closedir(list);
  return result;
}

int ownership_change(const struct ownership *ownership, int directory) {
  struct rlimit before, all;
  struct stat facts;
  int copy = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (copy < 0 || fstat(copy, &facts) != 0 || change_one(ownership, copy, "", &facts) != 0) return report_errno("owner", ".");
  /* each level of the tree holds a descriptor */
  if (prlimit(0, RLIMIT_NOFILE, NULL, &before) != 0) return report_errno("owner", "RLIMIT_NOFILE");
  all = (struct rlimit){.rlim_cur = before.rlim_max, .rlim_max = before.rlim_max};
  prlimit(0, RLIMIT_NOFILE, &all, NULL);
  int result = change_below(ownership, copy);
  prlimit(0, RLIMIT_NOFILE, &before, NULL);
  return result;
}
