#include "tree.h"

#include "failure.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#define ENTRY_COST 512 /* what a name takes on a disk, about */
#define BLOCK_SIZE 4096

int tree_charge_content(struct tree *tree, uint64_t bytes) {
  if (bytes > tree->bytes_max) return fail_with(EDQUOT, "count", "more bytes than there may be");
  tree->bytes += (bytes + BLOCK_SIZE - 1) / BLOCK_SIZE * BLOCK_SIZE;
  return tree->bytes > tree->bytes_max ? fail_with(EDQUOT, "count", "more bytes than there may be") : 0;
}

int tree_charge(struct tree *tree, uint64_t bytes) {
  tree->entries++;
  tree->bytes += ENTRY_COST;
  if (tree->entries > tree->entries_max)
    return fail_with(EDQUOT, "count", "more entries than a layer may have");
  return tree_charge_content(tree, bytes);
}

int tree_count_record(struct tree *tree) {
  return ++tree->records > tree->entries_max
             ? fail_with(EDQUOT, "count", "more entries than a layer may have")
             : 0;
}

bool is_whiteout(const struct stat *facts) { return S_ISCHR(facts->st_mode) && facts->st_rdev == 0; }

bool xattr_is_admitted(const char *name) {
  if (strcmp(name, "security.capability") == 0) return true;
  /* user.overlay.* is the kernel's own where it may not use trusted ones */
  return strncmp(name, "user.", 5) == 0 && strncmp(name, "user.overlay.", 13) != 0 &&
         strlen(name) <= TREE_NAME_MAX;
}

/* Of the directories that are remembered only the first ones stay. */
static void keep_above(struct tree *tree, size_t count) {
  if (tree->deeper >= 0) close(tree->deeper);
  tree->deeper = -1;
  while (tree->above_count > count) close(tree->above[--tree->above_count]);
}

void tree_forget(struct tree *tree) {
  keep_above(tree, 0);
  tree->parent_path[0] = '\0';
  tree->is_stale = false;
}

static int open_directory(int directory, const char *name) {
  return openat(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static int remove_one(int directory, const char *name) {
  if (unlinkat(directory, name, 0) == 0 || errno == ENOENT) return 0;
  if (errno != EISDIR && errno != EPERM) return fail("remove", name);
  int inner = open_directory(directory, name);
  if (inner < 0) return fail("remove", name);
  DIR *list = fdopendir(inner);
  if (list == NULL) {
    close(inner);
    return fail("remove", name);
  }
  int result = 0;
  for (struct dirent *entry; result == 0 && (entry = readdir(list)) != NULL;)
    if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
      result = remove_one(inner, entry->d_name);
  closedir(list);
  if (result != 0) return -1;
  return unlinkat(directory, name, AT_REMOVEDIR) == 0 ? 0 : fail("remove", name);
}

int tree_clear(struct tree *tree, int directory, const char *name, bool *was_whiteout) {
  struct stat facts;
  if (was_whiteout != NULL) *was_whiteout = false;
  if (fstatat(directory, name, &facts, AT_SYMLINK_NOFOLLOW) != 0)
    return errno == ENOENT ? 0 : fail("look", name);
  if (was_whiteout != NULL) *was_whiteout = is_whiteout(&facts);
  /* the remembered directories may lie below what goes; the caller has one of them in use */
  if (S_ISDIR(facts.st_mode)) tree->is_stale = true;
  return remove_one(directory, name);
}

int tree_empty(struct tree *tree, int directory) {
  int copy = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *list = copy < 0 ? NULL : fdopendir(copy);
  if (list == NULL) {
    if (copy >= 0) close(copy);
    return fail("read", "a directory");
  }
  tree->is_stale = true;
  int result = 0;
  for (struct dirent *entry; result == 0 && (entry = readdir(list)) != NULL;)
    if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
      result = remove_one(directory, entry->d_name);
  closedir(list);
  return result;
}

int tree_whiteout(int directory, const char *name) {
  return mknodat(directory, name, S_IFCHR, 0) == 0 ? 0 : fail("hide", name);
}

int tree_make_opaque(int directory) {
  return fsetxattr(directory, "trusted.overlay.opaque", "y", 1, 0) == 0 ? 0 : fail("hide", "a directory");
}

int tree_directory(struct tree *tree, int directory, const char *name) {
  int fd = open_directory(directory, name);
  if (fd >= 0) return fd;
  bool was_whiteout = false;
  if (errno != ENOENT && errno != ENOTDIR && errno != ELOOP) return fail("open", name);
  if (errno != ENOENT && tree_clear(tree, directory, name, &was_whiteout) != 0) return -1;
  if (tree_charge(tree, BLOCK_SIZE) != 0) return -1;
  if (mkdirat(directory, name, 0755) != 0) return fail("make directory", name);
  fd = open_directory(directory, name);
  if (fd < 0) return fail("open", name);
  if (!was_whiteout || tree_make_opaque(fd) == 0) return fd;
  close(fd);
  return -1;
}

/*
 * Cuts a path into names, without empty ones and dots; `..` leads nowhere. The result has no slash at either
 * end.
 */
static int normalize(const char *path, char into[TREE_PATH_MAX]) {
  size_t length = 0;
  while (*path != '\0') {
    size_t part = strcspn(path, "/");
    if (part == 2 && path[0] == '.' && path[1] == '.')
      return fail_with(EINVAL, "read", "a path that leads upwards");
    if (part > TREE_NAME_MAX || length + part + 2 > TREE_PATH_MAX)
      return fail_with(ENAMETOOLONG, "read", "a path of the archive");
    if (part > 0 && !(part == 1 && path[0] == '.')) {
      if (length > 0) into[length++] = '/';
      memcpy(into + length, path, part);
      length += part;
    }
    path += part;
    if (*path == '/') path++;
  }
  into[length] = '\0';
  return 0;
}

bool tree_is_out_of_steps(const struct tree *tree) {
  const uint64_t entries = tree->entries > tree->records ? tree->entries : tree->records;
  return tree->steps >= TREE_STEPS_SPARE + entries * TREE_STEPS_PER_ENTRY;
}

static int count_step(struct tree *tree) {
  if (tree_is_out_of_steps(tree))
    return fail_with(ELOOP, "walk", "more directories than a real image has on the way to its entries");
  tree->steps++;
  return 0;
}

/*
 * How many of the remembered directories are on the way to `directory` as well; `*rest` points to what comes
 * after them.
 */
static size_t common_levels(const struct tree *tree, const char *directory, const char **rest) {
  size_t levels = 0, begin = 0;
  for (size_t at = 0; levels < tree->above_count; at++) {
    const bool ends = directory[at] == '\0' || directory[at] == '/',
               other_ends = tree->parent_path[at] == '\0' || tree->parent_path[at] == '/';
    if (ends != other_ends || (!ends && directory[at] != tree->parent_path[at])) break;
    if (!ends) continue;
    levels++;
    begin = at + (directory[at] == '/');
    if (directory[at] == '\0' || tree->parent_path[at] == '\0') break;
  }
  *rest = directory + begin;
  return levels;
}

/* From the last directory that is remembered down. */
static int walk(struct tree *tree, const char *directory, bool make) {
  const char *rest;
  char name[TREE_NAME_MAX + 1];
  keep_above(tree, common_levels(tree, directory, &rest));
  int current = tree->above_count == 0 ? tree->root : tree->above[tree->above_count - 1];
  while (*rest != '\0') {
    size_t part = strcspn(rest, "/");
    memcpy(name, rest, part);
    name[part] = '\0';
    if (count_step(tree) != 0) return -1;
    int next = make ? tree_directory(tree, current, name) : open_directory(current, name);
    if (next < 0) return fail("open", directory);
    if (tree->deeper >= 0) close(tree->deeper);
    tree->deeper = -1;
    if (tree->above_count < TREE_LEVELS_MAX) tree->above[tree->above_count++] = next;
    else tree->deeper = next;
    current = next;
    rest += part + (rest[part] == '/');
  }
  return current;
}

int tree_parent(struct tree *tree, const char *path, bool make, const char **name) {
  static char whole[TREE_PATH_MAX];
  if (normalize(path, whole) != 0) return -1;
  char *slash = strrchr(whole, '/');
  *name = slash == NULL ? whole : slash + 1;
  if (slash != NULL) *slash = '\0';
  const char *directory = slash == NULL ? "" : whole;
  if (directory[0] == '\0') return tree->root;
  if (tree->is_stale) tree_forget(tree);
  if (tree->above_count > 0 && strcmp(directory, tree->parent_path) == 0)
    return tree->deeper >= 0 ? tree->deeper : tree->above[tree->above_count - 1];
  int fd = walk(tree, directory, make);
  if (fd < 0) tree_forget(tree);
  else memcpy(tree->parent_path, directory, strlen(directory) + 1);
  return fd;
}

int tree_finish(int fd, struct owner owner, uint32_t mode, const struct timespec *modified) {
  const struct timespec times[2] = {*modified, *modified};
  if (fchown(fd, owner.uid, owner.gid) != 0) return fail("owner", "");
  /* afterwards: a change of the owner takes set-id bits away */
  if (fchmod(fd, mode & 07777) != 0) return fail("mode", "");
  return futimens(fd, times) == 0 ? 0 : fail("time", "");
}
