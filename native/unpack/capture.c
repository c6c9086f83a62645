#include "capture.h"

#include "failure.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#define DEPTH_MAX 2000
#define CHUNK (1 << 17)
#define CAPABILITY "security.capability"

/* A file with several names: where its first one is. */
struct linked {
  struct linked *next;
  ino_t inode;
  char path[];
};

struct copy {
  struct tree *to;
  const struct accounts *accounts;
  bool flatten;
  struct linked *links[1024];
  size_t path_length;
  char path[PATH_MAX * 2];
  unsigned char chunk[CHUNK];
};

static int copy_children(struct copy *copy, int from, int to, int depth);

static struct owner owner_of(const struct copy *copy, const struct stat *facts) {
  return (struct owner){.uid = accounts_uid(copy->accounts, facts->st_uid),
                        .gid = accounts_gid(copy->accounts, facts->st_gid)};
}

/*
 * `security.capability` as it is outside of user namespaces: without the number of the one whose root has set
 * it. That must be the container's own root: another number is of a namespace that some user of the container
 * has made for himself, whose rights are not root's. False: it is none of the container's.
 */
static bool plain_capability(const struct accounts *accounts, unsigned char *value, ssize_t *size) {
  if (*size != 24 || value[3] != 3) return true;
  const uint32_t root =
      value[20] | (uint32_t)value[21] << 8 | (uint32_t)value[22] << 16 | (uint32_t)value[23] << 24;
  if (!accounts_is_root(accounts, root)) return false;
  value[3] = 2;
  *size = 20;
  return true;
}

static int copy_attributes(struct copy *copy, int from, int to) {
  static char names[65536];
  static unsigned char value[XATTR_VALUE_MAX];
  ssize_t length = flistxattr(from, names, sizeof names);
  for (const char *name = names; length > 0 && name < names + length; name += strlen(name) + 1) {
    if (!xattr_is_admitted(name)) continue;
    ssize_t size = fgetxattr(from, name, value, sizeof value);
    if (size >= 0 && strcmp(name, CAPABILITY) == 0 && !plain_capability(copy->accounts, value, &size))
      size = -1;
    if (size < 0 || fsetxattr(to, name, value, (size_t)size, 0) != 0) copy->to->skipped++;
  }
  return 0;
}

static bool has_mark(int fd, const char *name) { return fgetxattr(fd, name, NULL, 0) >= 0; }

static bool is_opaque(int fd) {
  char value = '\0';
  return fgetxattr(fd, "trusted.overlay.opaque", &value, 1) == 1 && value == 'y';
}

/*
 * A directory that was renamed by a note instead of a copy. The note stays true: the layers below are the
 * same.
 */
static int copy_redirect(struct copy *copy, int from, int to, const char *name) {
  static char value[PATH_MAX]; /* not on the stack, on which a call for each level lies */
  ssize_t size = fgetxattr(from, "trusted.overlay.redirect", value, sizeof value);
  if (size < 0) return 0;
  if (copy->flatten) return fail_with(EOPNOTSUPP, "flatten a renamed directory", name);
  return fsetxattr(to, "trusted.overlay.redirect", value, (size_t)size, 0) == 0 ? 0
                                                                                : fail("set attribute", name);
}

static int copy_range(struct copy *copy, int from, int to, off_t at, off_t end) {
  if (lseek(from, at, SEEK_SET) < 0 || lseek(to, at, SEEK_SET) < 0) return fail("read", copy->path);
  while (at < end) {
    ssize_t count = read(from, copy->chunk, (size_t)(end - at < CHUNK ? end - at : CHUNK));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return fail("read", copy->path);
    if (count == 0) return 0;
    if (tree_charge_content(copy->to, (uint64_t)count) != 0) return -1;
    for (ssize_t done = 0; done < count;) {
      ssize_t written = write(to, copy->chunk + done, (size_t)(count - done));
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) return fail("write", copy->path);
      done += written;
    }
    at += count;
  }
  return 0;
}

/* Holes stay holes. */
static int copy_content(struct copy *copy, int from, int to, off_t size) {
  for (off_t at = 0; at < size;) {
    off_t data = lseek(from, at, SEEK_DATA);
    if (data < 0 && errno == ENXIO) break;
    off_t end = data < 0 ? size : lseek(from, data, SEEK_HOLE);
    if (data < 0) data = at;
    if (end < 0 || end > size) end = size;
    if (copy_range(copy, from, to, data, end) != 0) return -1;
    at = end;
  }
  return ftruncate(to, size) == 0 ? 0 : fail("write", copy->path);
}

static int copy_account_file(struct copy *copy, int directory, const char *name, int to, bool *done) {
  bool is_group = strcmp(copy->path, "etc/group") == 0;
  *done = false;
  if (copy->flatten || (!is_group && strcmp(copy->path, "etc/passwd") != 0)) return 0;
  char *text = read_small(directory, name, 1 << 20),
       *changed = text == NULL ? NULL : accounts_renumber(copy->accounts, text, is_group);
  free(text);
  if (changed == NULL) return 0;
  size_t length = strlen(changed), at = 0;
  if (tree_charge_content(copy->to, length) != 0) {
    free(changed);
    return -1;
  }
  while (at < length) {
    ssize_t count = write(to, changed + at, length - at);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) break;
    at += (size_t)count;
  }
  free(changed);
  *done = true;
  return at == length ? 0 : fail("write", copy->path);
}

/* 1: it is a further name of a file that is there already, and has been made; 0: it is not; -1. */
static int link_again(struct copy *copy, const struct stat *facts, int to, const char *name) {
  struct linked **bucket = &copy->links[facts->st_ino % 1024], *one = *bucket;
  while (one != NULL && one->inode != facts->st_ino) one = one->next;
  if (one == NULL) {
    size_t length = copy->path_length + 1;
    one = malloc(sizeof *one + length);
    if (one == NULL) return fail("allocate", name);
    one->inode = facts->st_ino;
    one->next = *bucket;
    memcpy(one->path, copy->path, length);
    *bucket = one;
    return 0;
  }
  const char *first;
  int parent = tree_parent(copy->to, one->path, false, &first);
  if (parent < 0) return -1;
  return linkat(parent, first, to, name, 0) == 0 ? 1 : fail("link", copy->path);
}

static int copy_file(struct copy *copy, int directory, const char *name, const struct stat *facts, int to) {
  int from = openat(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (from < 0) return fail("open", copy->path);
  bool done = false;
  int result = has_mark(from, "trusted.overlay.metacopy")
                   ? fail_with(EOPNOTSUPP, "copy a file whose content is in another layer", copy->path)
                   : 0;
  int file = result != 0 ? -1 : openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (result == 0 && file < 0) result = fail("make", copy->path);
  if (result == 0) result = copy_account_file(copy, directory, name, file, &done);
  if (result == 0 && !done) result = copy_content(copy, from, file, facts->st_size);
  if (result == 0) result = tree_finish(file, owner_of(copy, facts), facts->st_mode, &facts->st_mtim);
  if (result == 0) result = copy_attributes(copy, from, file);
  close(from);
  if (file >= 0 && close(file) != 0 && result == 0) result = fail("write", copy->path);
  return result;
}

static int copy_directory(struct copy *copy, int directory, const char *name, const struct stat *facts,
                          int to, int depth) {
  if (depth == DEPTH_MAX) return fail_with(ELOOP, "copy more levels of directories than are possible", name);
  int from = openat(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (from < 0) return fail("open", copy->path);
  bool opaque = is_opaque(from);
  int result = opaque && copy->flatten ? tree_clear(copy->to, to, name, NULL) : 0;
  int made = result != 0 ? -1 : tree_directory(copy->to, to, name);
  if (made < 0) result = -1;
  if (result == 0 && opaque && !copy->flatten) result = tree_make_opaque(made);
  if (result == 0) result = copy_redirect(copy, from, made, copy->path);
  if (result == 0) result = copy_children(copy, from, made, depth + 1);
  if (result == 0) result = tree_finish(made, owner_of(copy, facts), facts->st_mode, &facts->st_mtim);
  if (result == 0) result = copy_attributes(copy, from, made);
  if (made >= 0) close(made);
  close(from);
  return result;
}

static int copy_special(struct copy *copy, int directory, const char *name, const struct stat *facts,
                        int to) {
  const struct owner owner = owner_of(copy, facts);
  const struct timespec both[2] = {facts->st_mtim, facts->st_mtim};
  if (S_ISLNK(facts->st_mode)) {
    static char target[PATH_MAX];
    ssize_t length = readlinkat(directory, name, target, sizeof target - 1);
    if (length < 0) return fail("read link", copy->path);
    target[length] = '\0';
    if (symlinkat(target, to, name) != 0) return fail("make link", copy->path);
  } else if (mknodat(to, name, S_IFIFO | (facts->st_mode & 0777), 0) != 0) {
    return fail("make pipe", copy->path);
  }
  if (fchownat(to, name, owner.uid, owner.gid, AT_SYMLINK_NOFOLLOW) != 0) return fail("owner", copy->path);
  return utimensat(to, name, both, AT_SYMLINK_NOFOLLOW) == 0 ? 0 : fail("time", copy->path);
}

static int copy_entry(struct copy *copy, int from, const char *name, int to, int depth) {
  struct stat facts;
  if (fstatat(from, name, &facts, AT_SYMLINK_NOFOLLOW) != 0) return fail("look", copy->path);
  if (S_ISDIR(facts.st_mode)) return copy_directory(copy, from, name, &facts, to, depth);
  if (is_whiteout(&facts)) {
    if (tree_clear(copy->to, to, name, NULL) != 0) return -1;
    if (copy->flatten) return 0;
    return tree_charge(copy->to, 0) != 0 ? -1 : tree_whiteout(to, name);
  }
  if (S_ISCHR(facts.st_mode) || S_ISBLK(facts.st_mode) || S_ISSOCK(facts.st_mode)) {
    copy->to->skipped++;
    return 0;
  }
  if (tree_clear(copy->to, to, name, NULL) != 0 || tree_charge(copy->to, 0) != 0) return -1;
  if (!S_ISREG(facts.st_mode)) return copy_special(copy, from, name, &facts, to);
  int linked = facts.st_nlink > 1 ? link_again(copy, &facts, to, name) : 0;
  return linked != 0 ? (linked < 0 ? -1 : 0) : copy_file(copy, from, name, &facts, to);
}

static int copy_children(struct copy *copy, int from, int to, int depth) {
  int again = openat(from, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *list = again < 0 ? NULL : fdopendir(again);
  if (list == NULL) {
    if (again >= 0) close(again);
    return fail("read", copy->path);
  }
  int result = 0;
  const size_t length = copy->path_length;
  for (struct dirent *entry; result == 0 && (entry = readdir(list)) != NULL;) {
    size_t name = strlen(entry->d_name);
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    if (length + name + 2 > PATH_MAX) {
      result = fail_with(ENAMETOOLONG, "copy", entry->d_name);
      break;
    }
    if (length > 0) copy->path[copy->path_length++] = '/';
    memcpy(copy->path + copy->path_length, entry->d_name, name + 1);
    copy->path_length += name;
    result = copy_entry(copy, from, entry->d_name, to, depth);
    copy->path_length = length;
    copy->path[length] = '\0';
  }
  closedir(list);
  return result;
}

static int copy_tree(struct copy *copy, int from) {
  struct stat facts;
  copy->path_length = 0;
  copy->path[0] = '\0';
  if (fstat(from, &facts) != 0) return fail("look", "/");
  if (copy->flatten && is_opaque(from) && tree_empty(copy->to, copy->to->root) != 0) return -1;
  if (copy_children(copy, from, copy->to->root, 0) != 0) return -1;
  return tree_finish(copy->to->root, owner_of(copy, &facts), facts.st_mode, &facts.st_mtim);
}

int capture(struct tree *to, int from, const struct accounts *accounts) {
  static struct copy copy;
  copy.to = to;
  copy.accounts = accounts;
  return copy_tree(&copy, from);
}

int apply(struct tree *to, int from) {
  static const struct accounts same;
  static struct copy copy;
  copy.to = to;
  copy.accounts = &same;
  copy.flatten = true;
  return copy_tree(&copy, from);
}
