/*
 * Removing what a container wrote, which may be meant to resist: nesting beyond the longest path and beyond
 * all descriptors, directories without permissions (which matters without root's rights), links to anywhere,
 * immutable files. Nobody else may make anything below the tree meanwhile.
 */
#include "warden_native.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * Directories that are open at a time. What lies deeper is moved to the top, and found there when the top is
 * read again.
 */
#define DEEPEST 32
/*
 * Directories that nothing below them can be moved out of: what lies deep in one is moved to it. Each may
 * take DEEPEST more descriptors; further ones: remove_in_place().
 */
#define BORDERS_MAX 8
/* In the place of a depth: see remove_in_place(). */
#define IN_PLACE -1
/* An answer that is no failure: the directory is not empty, and cannot be moved. */
#define DEEPER 1
#define DIRECTORY (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

struct removal {
  int root; /* what lies too deep is moved here */
  unsigned hoisted, borders;
  dev_t top_device; /* of the whole tree, above which nothing is touched */
  ino_t top_inode;
  int deeper;   /* open, when the answer is DEEPER */
  char *failed; /* the name at which it ended */
  uint32_t size;
};

static int failed(const struct removal *removal, const char *name) {
  int error = -errno;
  snprintf(removal->failed, removal->size, "%s", name);
  return error;
}

static bool is_without_descriptor(int error) { return error == EMFILE || error == ENFILE; }

/*
 * Root inside may make files immutable or append-only, which stops even root outside. The flags exist on
 * files and directories only. False with errno: there was no descriptor for it.
 */
static bool clear_flags(int directory, const char *name) {
  struct stat facts;
  int flags;
  if (fstatat(directory, name, &facts, AT_SYMLINK_NOFOLLOW) < 0 ||
      (!S_ISREG(facts.st_mode) && !S_ISDIR(facts.st_mode)))
    return true;
  int fd = openat(directory, name, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return !is_without_descriptor(errno);
  if (ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0 && (flags & (FS_IMMUTABLE_FL | FS_APPEND_FL)) != 0) {
    flags &= ~(FS_IMMUTABLE_FL | FS_APPEND_FL);
    (void)ioctl(fd, FS_IOC_SETFLAGS, &flags);
  }
  close(fd);
  return true;
}

/*
 * Takes away what stopped a change to the entry with this errno, as far as it can; then the same is to be
 * tried again. False with errno: there was no descriptor for it.
 */
static bool make_willing(int error, int directory, const char *name) {
  if (error == EPERM) /* the tree's own name is in a directory of ours */
    return (directory == AT_FDCWD || clear_flags(directory, ".")) && clear_flags(directory, name);
  if (error == EACCES) (void)fchmod(directory, 0700);
  return true;
}

static int unlink_entry(int directory, const char *name, int flags) {
  if (unlinkat(directory, name, flags) == 0) return 0;
  if ((errno != EPERM && errno != EACCES) || !make_willing(errno, directory, name)) return -1;
  return unlinkat(directory, name, flags);
}

static int open_directory(int directory, const char *name) {
  int fd = openat(directory, name, DIRECTORY);
  if (fd >= 0 || errno != EACCES) return fd;
  (void)fchmod(directory, 0700);
  /* the open has told that it is no link, and nobody else writes here */
  return fchmodat(directory, name, 0700, 0) < 0 ? -1 : openat(directory, name, DIRECTORY);
}

static int hoist(struct removal *removal, int directory, const char *name) {
  char target[32];
  do {
    snprintf(target, sizeof(target), ".hoisted-%u", removal->hoisted++);
    if (renameat(directory, name, removal->root, target) == 0) return 0;
    if (errno == EPERM || errno == EACCES) {
      int error = errno;
      if (!make_willing(error, directory, name) || !make_willing(error, removal->root, target)) return -1;
      /* a directory is changed itself when it gets another parent */
      if (fchmodat(directory, name, 0700, 0) == 0 && renameat(directory, name, removal->root, target) == 0)
        return 0;
    }
  } while (errno == EEXIST || errno == ENOTEMPTY || errno == ENOTDIR);
  return -1;
}

/*
 * Failures of a move that its goal is the reason of: in another subvolume, project or layer than it, or with
 * no room for one more name, as on a full disk, which only a removal makes room on.
 */
static bool is_immovable(int error) { return error == EXDEV || error == ENOSPC || error == EDQUOT; }

static int remove_below(struct removal *removal, int directory, int depth);
static int remove_listed(struct removal *removal, DIR *list, int depth);

/* As remove_below, with this directory for the top. */
static int remove_beyond(struct removal *removal, int directory) {
  int root = removal->root;
  removal->root = directory;
  removal->borders++;
  int result = remove_below(removal, directory, 0);
  removal->root = root;
  removal->borders--;
  return result;
}

static bool is_same(const struct stat *facts, dev_t device, ino_t inode) {
  return facts->st_dev == device && facts->st_ino == inode;
}

/*
 * The directory above is the next one, or none is, from where the way went down. ENOENT: somebody else has
 * moved this one to the top meanwhile, so that the way up does not lead there any more.
 */
static int go_above(const struct removal *removal, int directory, const struct stat *base, int *next) {
  struct stat facts;
  if (fstat(directory, &facts) < 0) return failed(removal, ".");
  if (is_same(&facts, base->st_dev, base->st_ino)) return 0;
  if (is_same(&facts, removal->top_device, removal->top_inode)) return -ENOENT;
  *next = open_directory(directory, "..");
  return *next < 0 ? failed(removal, "..") : 0;
}

/* Closes the directory. `*next`: where it goes on, open, or -1. */
static int step_in_place(struct removal *removal, int directory, const struct stat *base, int *next) {
  DIR *list = fdopendir(directory);
  *next = -1;
  if (list == NULL) {
    int result = failed(removal, ".");
    close(directory);
    return result;
  }
  int result = remove_listed(removal, list, IN_PLACE);
  if (result == DEEPER) {
    *next = removal->deeper;
    result = 0;
  } else if (result == 0) {
    result = go_above(removal, dirfd(list), base, next);
  }
  closedir(list);
  return result;
}

/*
 * Closes the directory. Everything below it where nothing can be moved: down to what is deepest, and up
 * again, which holds one directory at a time. What has become movable meanwhile, by the room that this makes,
 * is moved all the same: each directory is read from its beginning when it is met again.
 */
static int remove_in_place(struct removal *removal, int directory) {
  struct stat base;
  if (fstat(directory, &base) < 0) {
    int result = failed(removal, ".");
    close(directory);
    return result;
  }
  int result = 0;
  while (result == 0 && directory >= 0) result = step_in_place(removal, directory, &base, &directory);
  return result;
}

/* One that is not empty, and lies too deep for a descriptor of its own. */
static int remove_deepest(struct removal *removal, int parent, const char *name, int depth) {
  if (hoist(removal, parent, name) == 0) return 0;
  if (!is_immovable(errno)) return failed(removal, name);
  /* no directory leaves the subvolume, project or layer, but its content may be moved up to it */
  const bool is_border = errno == EXDEV && removal->borders < BORDERS_MAX;
  int directory = open_directory(parent, name);
  if (directory < 0) return failed(removal, name);
  if (!is_border && depth == IN_PLACE) {
    removal->deeper = directory;
    return DEEPER;
  }
  int result = is_border ? remove_beyond(removal, directory) : remove_in_place(removal, directory);
  return result == 0 && unlink_entry(parent, name, AT_REMOVEDIR) != 0 ? failed(removal, name) : result;
}

static int remove_directory(struct removal *removal, int parent, const char *name, int depth) {
  if (unlink_entry(parent, name, AT_REMOVEDIR) == 0) return 0;
  if (errno != ENOTEMPTY && errno != EEXIST) return failed(removal, name);
  if (depth >= DEEPEST || depth == IN_PLACE) return remove_deepest(removal, parent, name, depth);
  int directory = open_directory(parent, name);
  /*
   * without a descriptor for one more level: at the top, one for it and one for the top are all that it
   * takes
   */
  if (directory < 0 && is_without_descriptor(errno) && depth > 0) {
    int error = errno;
    if (hoist(removal, parent, name) == 0) return 0;
    if (is_immovable(errno)) /* which is not what is missing */
      errno = error;
  }
  if (directory < 0) return failed(removal, name);
  int result = remove_below(removal, directory, depth + 1);
  if (result == 0 && unlink_entry(parent, name, AT_REMOVEDIR) != 0) result = failed(removal, name);
  return result;
}

static int remove_entry(struct removal *removal, int directory, const struct dirent *entry, int depth) {
  bool is_directory = entry->d_type == DT_DIR;
  if (!is_directory) {
    if (unlink_entry(directory, entry->d_name, 0) == 0) return 0;
    struct stat facts;
    int saved = errno;
    /* where the file system does not tell the types in its lists */
    is_directory =
        fstatat(directory, entry->d_name, &facts, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(facts.st_mode);
    errno = saved;
  }
  return is_directory ? remove_directory(removal, directory, entry->d_name, depth)
                      : failed(removal, entry->d_name);
}

/*
 * It is read until nothing is found: what is removed or moved here meanwhile may change the order of the
 * rest.
 */
static int remove_listed(struct removal *removal, DIR *list, int depth) {
  int result = 0;
  bool found = true;
  while (result == 0 && found) {
    found = false;
    rewinddir(list);
    for (struct dirent *entry; result == 0 && (errno = 0, entry = readdir(list)) != NULL;) {
      if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
      result = remove_entry(removal, dirfd(list), entry, depth);
      if (result == -ENOENT)
        result = 0; /* somebody else has removed it, as the end of a job does with its output */
      else found = true;
    }
    /* not the end of the list: what is left there would be told as a directory that is not empty */
    if (result == 0 && errno != 0) result = failed(removal, ".");
  }
  return result;
}

/* Closes the directory. */
static int remove_below(struct removal *removal, int directory, int depth) {
  DIR *list = fdopendir(directory);
  if (list == NULL) {
    int result = failed(removal, ".");
    close(directory);
    return result;
  }
  int result = remove_listed(removal, list, depth);
  closedir(list);
  return result;
}

/* Where nothing above is touched. False with errno. */
static bool set_top(struct removal *removal, int directory) {
  struct stat facts;
  if (fstat(directory, &facts) < 0) return false;
  removal->top_device = facts.st_dev;
  removal->top_inode = facts.st_ino;
  return true;
}

int warden_remove_tree(const char *path, char *failed_name, uint32_t size) {
  struct removal removal = {.failed = failed_name, .size = size};
  *failed_name = '\0';
  /* most are empty, which takes no descriptor */
  if (unlink_entry(AT_FDCWD, path, AT_REMOVEDIR) == 0 || errno == ENOENT) return 0;
  if (errno == ENOTDIR) /* a link, or any other file, in the place of the tree */
    return unlink_entry(AT_FDCWD, path, 0) == 0 || errno == ENOENT ? 0 : failed(&removal, path);
  removal.root = open_directory(AT_FDCWD, path);
  if (removal.root < 0) return errno == ENOENT ? 0 : failed(&removal, path);
  if (!set_top(&removal, removal.root)) {
    int error = failed(&removal, path);
    close(removal.root);
    return error;
  }
  int result = remove_below(&removal, removal.root, 0);
  if (result == 0 && unlink_entry(AT_FDCWD, path, AT_REMOVEDIR) != 0 && errno != ENOENT)
    result = failed(&removal, path);
  return result;
}

/*
 * A directory into which so much was written once is as long for ever on ext4, and each look into it as slow.
 * A file is written over, and read whole.
 */
#define LONGEST_KEPT 16384

struct strip {
  struct removal removal;
  const struct warden_kept *kept;
  uint32_t count;
  dev_t device;
  uint64_t met; /* bit n: the entry n of `kept` is as it has to be */
};

static int find_kept(const struct strip *strip, const char *path) {
  for (uint32_t at = 0; at < strip->count; at++)
    if (strcmp(strip->kept[at].path, path) == 0) return (int)at;
  return -1;
}

static bool is_as_made(const struct strip *strip, const struct warden_kept *kept, const struct stat *facts) {
  return facts->st_mode == kept->mode && facts->st_uid == geteuid() && facts->st_dev == strip->device &&
         facts->st_size <= LONGEST_KEPT && (S_ISDIR(facts->st_mode) || facts->st_nlink == 1);
}

static int strip_below(struct strip *strip, int directory, const char *prefix);

/*
 * A directory that is none of ours, or not what it was, is removed as everything else: 0. Else 1, or the
 * failure.
 */
static int strip_directory(struct strip *strip, int parent, const char *name, int at) {
  const struct warden_kept *kept = &strip->kept[at];
  struct stat facts;
  int directory = openat(parent, name, DIRECTORY);
  if (directory < 0)
    return errno == ENOTDIR || errno == ELOOP || errno == EACCES ? 0 : failed(&strip->removal, name);
  if (fstat(directory, &facts) < 0 || !is_as_made(strip, kept, &facts)) {
    close(directory);
    return 0;
  }
  int result = strip_below(strip, directory, kept->path);
  if (result == 0) strip->met |= UINT64_C(1) << at;
  return result == 0 ? 1 : result;
}

static bool is_kept_file(const struct strip *strip, int parent, const char *name, int at) {
  const struct warden_kept *kept = &strip->kept[at];
  struct stat facts;
  if (fstatat(parent, name, &facts, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(facts.st_mode) ||
      facts.st_dev != strip->device)
    return false;
  return kept->inode == 0 ? is_as_made(strip, kept, &facts) : facts.st_ino == kept->inode;
}

/* 1: it stays; 0: it is to be removed. */
static int keep_entry(struct strip *strip, int directory, const char *name, const char *prefix) {
  char path[sizeof(strip->kept->path)];
  int length = snprintf(path, sizeof(path), "%s%s%s", prefix, *prefix == '\0' ? "" : "/", name);
  int at = length < 0 || (size_t)length >= sizeof(path) ? -1 : find_kept(strip, path);
  if (at < 0) return 0;
  if ((strip->met & (UINT64_C(1) << at)) != 0) /* met before, when the list was read for the first time */
    return 1;
  if (S_ISDIR(strip->kept[at].mode)) return strip_directory(strip, directory, name, at);
  if (!is_kept_file(strip, directory, name, at)) return 0;
  strip->met |= UINT64_C(1) << at;
  return 1;
}

/* Closes the directory, and reads it as remove_below does. What lies too deep in it is moved to it. */
static int strip_below(struct strip *strip, int directory, const char *prefix) {
  DIR *list = fdopendir(directory);
  int result = 0;
  bool found = true;
  if (list == NULL) {
    result = failed(&strip->removal, ".");
    close(directory);
    return result;
  }
  while (result == 0 && found) {
    found = false;
    rewinddir(list);
    for (struct dirent *entry; result == 0 && (errno = 0, entry = readdir(list)) != NULL;) {
      if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
      int kept = keep_entry(strip, directory, entry->d_name, prefix);
      if (kept < 0) result = kept;
      if (kept != 0) continue;
      found = true;
      strip->removal.root = directory;
      result = remove_entry(&strip->removal, directory, entry, 0);
      if (result == -ENOENT) result = 0;
    }
    if (result == 0 && errno != 0) result = failed(&strip->removal, ".");
  }
  closedir(list);
  return result;
}

int warden_strip_tree(const char *path, const struct warden_kept *kept, uint32_t count, const char *target,
                      char *failed_name, uint32_t size) {
  struct strip strip = {.removal = {.failed = failed_name, .size = size}, .kept = kept, .count = count};
  struct stat facts;
  *failed_name = '\0';
  if (count > WARDEN_KEPT_MAX) return -EINVAL;
  int directory = openat(AT_FDCWD, path, DIRECTORY);
  if (directory < 0)
    return errno == ENOENT || errno == ENOTDIR || errno == ELOOP ? 0 : failed(&strip.removal, path);
  if (fstat(directory, &facts) < 0 || facts.st_uid != geteuid() || facts.st_size > LONGEST_KEPT) {
    close(directory);
    return 0;
  }
  strip.device = facts.st_dev;
  strip.removal.top_device = facts.st_dev;
  strip.removal.top_inode = facts.st_ino;
  int result = strip_below(&strip, directory, "");
  if (result < 0) return result;
  for (uint32_t at = 0; at < count; at++)
    if (!kept[at].optional && (strip.met & (UINT64_C(1) << at)) == 0) return 0;
  return rename(path, target) == 0 ? 1 : failed(&strip.removal, path);
}
