#include "target.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int close_saved(int fd) {
  int saved = errno;
  close(fd);
  errno = saved;
  return -1;
}

/*
 * Of a directory that is open for making things in it, and of what has or gets `name` in it, if that is not
 * NULL. The path is what the kernel says, so that no link hides it. What is neither forbidden nor below that,
 * but above it, is allowed.
 */
static int check_allowed(int directory, const char *name, const char *const *forbidden) {
  char link[64], path[PATH_MAX + 1 + COPY_NAME_MAX + 1];
  snprintf(link, sizeof link, "/proc/self/fd/%d", directory);
  for (; *forbidden != NULL; forbidden++) {
    ssize_t length = readlink(link, path, PATH_MAX);
    if (length < 0) return -1;
    path[length] = '\0';
    if (name != NULL)
      snprintf(path + length, sizeof path - (size_t)length, "%s%s", path[length - 1] == '/' ? "" : "/", name);
    size_t prefix = strlen(*forbidden);
    if (strncmp(path, *forbidden, prefix) != 0 || (path[prefix] != '\0' && path[prefix] != '/')) continue;
    errno = EPERM;
    return -1;
  }
  return 0;
}

int target_check_entry(int directory, const char *name, const char *const *forbidden) {
  for (const char *const *one = forbidden; *one != NULL; one++) {
    /* all of a tree comes by here: the kernel is asked about the few that are named so */
    const char *last = strrchr(*one, '/');
    if (last != NULL && strcmp(last + 1, name) == 0) return check_allowed(directory, name, forbidden);
  }
  return 0;
}

static int open_directory(struct target *target, int fd, const char *const *forbidden,
                          const char **operation) {
  *operation = "write into a directory of the daemon";
  target->directory = fd;
  return check_allowed(fd, NULL, forbidden) == 0 ? 0 : close_saved(fd);
}

/* The path without slashes at its end; "/" stays. */
static int strip(const char *path, char *into) {
  size_t length = strlen(path);
  if (length > PATH_MAX) {
    errno = ENAMETOOLONG;
    return -1;
  }
  memcpy(into, path, length + 1);
  while (length > 1 && into[length - 1] == '/') into[--length] = '\0';
  return 0;
}

static int make_directory(struct target *target, int parent, const char *name, const char *const *forbidden,
                          const char **operation) {
  *operation = "write into a directory of the daemon";
  if (check_allowed(parent, name, forbidden) != 0) return -1;
  *operation = "make destination";
  if (mkdirat(parent, name, 0755) != 0) return -1;
  target->is_made = true;
  int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  return fd < 0 ? -1 : open_directory(target, fd, forbidden, operation);
}

int target_open(struct target *target, const struct place *place, const char *path, bool is_single,
                bool is_directory, const char *const *forbidden, const char **operation) {
  char stripped[PATH_MAX + 1];
  struct stat facts;
  bool has_slash = path[0] != '\0' && path[strlen(path) - 1] == '/';
  *target = (struct target){.directory = -1};
  *operation = "open destination";
  if (strip(path, stripped) != 0) return -1;
  /* with its slashes: they make a file that stands there an error */
  int fd = place_open(place, path, O_PATH);
  if (fd < 0 && errno != ENOENT) return -1;
  if (fd >= 0) {
    if (fstat(fd, &facts) != 0) return close_saved(fd);
    close(fd);
    if (S_ISDIR(facts.st_mode)) {
      fd = place_open(place, path, O_RDONLY | O_DIRECTORY);
      return fd < 0 ? -1 : open_directory(target, fd, forbidden, operation);
    }
    if (!is_single || is_directory) {
      errno = ENOTDIR;
      return -1;
    }
  }
  int parent = place_open_parent(place, stripped, target->name);
  if (parent < 0) return -1;
  if (has_slash || !is_single) {
    char name[COPY_NAME_MAX + 1];
    memcpy(name, target->name, sizeof name);
    target->name[0] = '\0';
    int result = make_directory(target, parent, name, forbidden, operation);
    close_saved(parent);
    return result;
  }
  fd = openat(parent, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  close_saved(parent);
  return fd < 0 ? -1 : open_directory(target, fd, forbidden, operation);
}
