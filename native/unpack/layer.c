#include "layer.h"

#include "failure.h"
#include "tar.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#define WHITEOUT ".wh."
#define OPAQUE ".wh..wh..opq"
#define UNION_OWN ".wh..wh." /* what aufs keeps for itself */
/* A link's target that is shorter takes no block: file systems keep it beside the name. */
#define INLINE_LINK_MAX 60
/*
 * Times of directories wait until nothing is made in them any more; beyond this much memory they stay as they
 * come.
 */
#define TIMES_MAX (64 << 20)

struct directory_time {
  struct directory_time *next;
  struct timespec modified;
  char path[];
};

static struct directory_time *times;
static size_t times_size;

static void remember_time(const struct tar_entry *entry) {
  size_t length = strlen(entry->path) + 1, size = sizeof(struct directory_time) + length;
  if (times_size + size > TIMES_MAX) return;
  struct directory_time *one = malloc(size);
  if (one == NULL) return;
  one->next = times;
  one->modified = entry->modified;
  memcpy(one->path, entry->path, length);
  times = one;
  times_size += size;
}

/* What is not there any more, or is no directory, has no need of it. */
static int set_times(struct tree *tree) {
  int result = 0;
  while (times != NULL) {
    struct directory_time *one = times;
    const struct timespec both[2] = {one->modified, one->modified};
    const char *name;
    int parent = result == 0 ? tree_parent(tree, one->path, false, &name) : -1;
    if (parent >= 0) utimensat(parent, name[0] == '\0' ? "." : name, both, AT_SYMLINK_NOFOLLOW);
    else if (result == 0 && tree_is_out_of_steps(tree)) result = -1;
    else if (result == 0) failure.error = 0;
    times = one->next;
    free(one);
  }
  return result;
}

static int set_attributes(struct tree *tree, const struct tar_entry *entry, int fd) {
  for (size_t i = 0; i < entry->xattr_count; i++) {
    const struct tar_xattr *one = &entry->xattrs[i];
    if (!xattr_is_admitted(one->name)) {
      tree->skipped++;
      continue;
    }
    if (one->size > XATTR_VALUE_MAX) return fail_with(E2BIG, "set attribute", entry->path);
    /* a file system without them, or a value that is none, is no reason to refuse the rest */
    if (fsetxattr(fd, one->name, one->value, one->size, 0) == 0) continue;
    if (errno == ENOSPC || errno == EDQUOT || errno == EIO) return fail("set attribute", entry->path);
    tree->skipped++;
  }
  return 0;
}

/* Capabilities come after the owner, whose change takes them away. */
static int finish(struct tree *tree, const struct tar_entry *entry, int fd) {
  const struct owner owner = {.uid = entry->uid, .gid = entry->gid};
  if (tree_finish(fd, owner, entry->mode, &entry->modified) != 0) return -1;
  return set_attributes(tree, entry, fd);
}

static int copy_content(struct tar *tar, int fd, const char *path) {
  const unsigned char *data;
  long size;
  while ((size = tar_read(tar, &data)) > 0) {
    for (long done = 0; done < size;) {
      ssize_t count = write(fd, data + done, (size_t)(size - done));
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) return fail("write", path);
      done += count;
    }
  }
  return size < 0 ? -1 : 0;
}

static int make_file(struct tree *tree, struct tar *tar, const struct tar_entry *entry, int parent,
                     const char *name) {
  /* before a byte of it is there: an archive may say any size */
  if (tree_charge(tree, entry->size) != 0 || tree_clear(tree, parent, name, NULL) != 0) return -1;
  int fd = openat(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0) return fail("make", entry->path);
  int result = copy_content(tar, fd, entry->path);
  if (result == 0) result = finish(tree, entry, fd);
  if (close(fd) != 0 && result == 0) result = fail("write", entry->path);
  return result;
}

static int make_directory(struct tree *tree, const struct tar_entry *entry, int parent, const char *name) {
  int fd = name[0] == '\0' ? openat(tree->root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
                           : tree_directory(tree, parent, name);
  if (fd < 0) return fail("open", entry->path);
  int result = finish(tree, entry, fd);
  close(fd);
  remember_time(entry);
  return result;
}

static int finish_by_name(const struct tar_entry *entry, int parent, const char *name) {
  const struct timespec both[2] = {entry->modified, entry->modified};
  if (fchownat(parent, name, entry->uid, entry->gid, AT_SYMLINK_NOFOLLOW) != 0)
    return fail("owner", entry->path);
  return utimensat(parent, name, both, AT_SYMLINK_NOFOLLOW) == 0 ? 0 : fail("time", entry->path);
}

static int make_symlink(struct tree *tree, const struct tar_entry *entry, int parent, const char *name) {
  if (entry->link[0] == '\0') return fail_with(EBADMSG, "read", "a link that leads nowhere");
  size_t length = strlen(entry->link);
  if (tree_charge(tree, length < INLINE_LINK_MAX ? 0 : length) != 0 ||
      tree_clear(tree, parent, name, NULL) != 0)
    return -1;
  if (symlinkat(entry->link, parent, name) != 0) return fail("make link", entry->path);
  return finish_by_name(entry, parent, name);
}

static int make_fifo(struct tree *tree, const struct tar_entry *entry, int parent, const char *name) {
  if (tree_charge(tree, 0) != 0 || tree_clear(tree, parent, name, NULL) != 0) return -1;
  if (mknodat(parent, name, S_IFIFO | (entry->mode & 0777), 0) != 0) return fail("make pipe", entry->path);
  return finish_by_name(entry, parent, name);
}

/*
 * A further name of a file of this layer. What is in another layer cannot have one: the archive then is no
 * layer.
 */
static int make_hard_link(struct tree *tree, const struct tar_entry *entry) {
  static char name[TREE_NAME_MAX + 1];
  const char *found;
  struct stat facts;
  int parent = tree_parent(tree, entry->path, true, &found);
  if (parent < 0) return -1;
  memcpy(name, found, strlen(found) + 1);
  parent = fcntl(parent, F_DUPFD_CLOEXEC, 3); /* the next look-up may close the tree's own */
  if (parent < 0) return fail("link", entry->path);
  const char *target;
  int result = 0, source = tree_parent(tree, entry->link, false, &target);
  if (name[0] == '\0') result = fail_with(EINVAL, "link", entry->path);
  else if (source < 0) result = -1;
  else if (fstatat(source, target, &facts, AT_SYMLINK_NOFOLLOW) != 0)
    result = fail("link to what is not in this layer", entry->link);
  else if (S_ISDIR(facts.st_mode) || is_whiteout(&facts))
    result = fail_with(EINVAL, "link to what can have one name only", entry->link);
  if (result == 0) {
    struct stat own;
    bool same = fstatat(parent, name, &own, AT_SYMLINK_NOFOLLOW) == 0 && own.st_ino == facts.st_ino &&
                own.st_dev == facts.st_dev;
    result = tree_charge(tree, 0);
    if (result == 0 && !same) {
      source = fcntl(source, F_DUPFD_CLOEXEC, 3);
      static char kept[TREE_NAME_MAX + 1];
      memcpy(kept, target, strlen(target) + 1);
      if (source < 0) result = fail("link", entry->path);
      if (result == 0) result = tree_clear(tree, parent, name, NULL);
      if (result == 0 && linkat(source, kept, parent, name, 0) != 0) result = fail("link", entry->path);
      if (source >= 0) close(source);
    }
  }
  close(parent);
  return result;
}

/* `.wh.NAME`: NAME of the layers below is not to be seen. What this layer itself has of that name stays. */
static int make_whiteout(struct tree *tree, const char *hidden, int parent) {
  struct stat facts;
  if (hidden[0] == '\0' || strcmp(hidden, ".") == 0 || strcmp(hidden, "..") == 0)
    return fail_with(EINVAL, "read", "a mark of deletion without a name");
  if (fstatat(parent, hidden, &facts, AT_SYMLINK_NOFOLLOW) == 0) {
    if (!S_ISDIR(facts.st_mode)) return 0;
    int fd = openat(parent, hidden, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int result = fd < 0 ? fail("open", hidden) : tree_make_opaque(fd);
    if (fd >= 0) close(fd);
    return result;
  }
  return tree_charge(tree, 0) != 0 ? -1 : tree_whiteout(parent, hidden);
}

static int make_entry(struct tree *tree, struct tar *tar, const struct tar_entry *entry) {
  const char *name;
  if (entry->type == TAR_DEVICE) { /* a container has its own, and no others */
    tree->skipped++;
    return 0;
  }
  int parent = tree_parent(tree, entry->path, true, &name);
  if (parent < 0) return -1;
  if (strcmp(name, OPAQUE) == 0) {
    if (parent == tree->root) tree->hides_below = true;
    return tree_make_opaque(parent);
  }
  if (strncmp(name, UNION_OWN, sizeof UNION_OWN - 1) == 0) {
    tree->skipped++;
    return 0;
  }
  if (strncmp(name, WHITEOUT, sizeof WHITEOUT - 1) == 0)
    return make_whiteout(tree, name + sizeof WHITEOUT - 1, parent);
  if (entry->type == TAR_DIRECTORY) return make_directory(tree, entry, parent, name);
  if (name[0] == '\0') return fail_with(EINVAL, "read", "a root that is no directory");
  switch (entry->type) {
    case TAR_FILE:
      return make_file(tree, tar, entry, parent, name);
    case TAR_SYMLINK:
      return make_symlink(tree, entry, parent, name);
    case TAR_FIFO:
      return make_fifo(tree, entry, parent, name);
    case TAR_HARD_LINK:
      return make_hard_link(tree, entry);
    case TAR_DIRECTORY:
    case TAR_DEVICE:
      break;
  }
  return 0;
}

int layer_unpack(struct tree *tree, int archive) {
  static struct tar tar;
  static struct tar_entry entry;
  int more = tar_open(&tar, archive);
  if (more == 0) more = 1;
  while (more > 0 && (more = tar_next(&tar, &entry)) > 0)
    if (tree_count_record(tree) != 0 || make_entry(tree, &tar, &entry) != 0) more = -1;
  if (more == 0) more = set_times(tree);
  if (more == 0) more = tar_drain(&tar);
  tar_close(&tar);
  return more;
}
