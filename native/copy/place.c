#include "place.h"

#include "protocol.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PATH_SIZE (2 * PATH_MAX)

int place_own_root(struct place *place) {
  static char home[PATH_MAX];
  place->root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (getcwd(home, sizeof home) == NULL || home[0] != '/') memcpy(home, "/", sizeof "/");
  place->home = home;
  return place->root < 0 ? -1 : 0;
}

int place_directory(struct place *place, const char *root) {
  place->root = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
  place->home = "/";
  return place->root < 0 ? -1 : 0;
}

int place_open(const struct place *place, const char *path, int flags) {
  if (place->root < 0) return open(path, flags | O_CLOEXEC);
  char whole[PATH_SIZE];
  if ((size_t)snprintf(whole, sizeof whole, "%s/%s", path[0] == '/' ? "" : place->home, path) >=
      sizeof whole) {
    errno = ENAMETOOLONG;
    return -1;
  }
  struct open_how how = {.flags = (uint64_t)(unsigned)(flags | O_CLOEXEC),
                         .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
  int fd = -1;
  /* EAGAIN: something was renamed while the kernel resolved; somebody who renames for ever gets an error */
  for (int tries = 0; tries < 128; tries++) {
    fd = (int)syscall(SYS_openat2, place->root, whole, &how, sizeof how);
    if (fd >= 0 || (errno != EAGAIN && errno != EINTR)) break;
  }
  return fd;
}

int place_open_parent(const struct place *place, const char *path, char *name) {
  const char *slash = strrchr(path, '/'), *last = slash == NULL ? path : slash + 1;
  size_t length = strlen(last);
  if (length > COPY_NAME_MAX || (slash != NULL && (size_t)(slash - path) >= PATH_MAX)) {
    errno = ENAMETOOLONG;
    return -1;
  }
  memcpy(name, last, length + 1);
  if (slash == NULL) return place_open(place, ".", O_PATH | O_DIRECTORY);
  char parent[PATH_MAX + 1];
  size_t parent_length = slash == path ? 1 : (size_t)(slash - path);
  memcpy(parent, path, parent_length);
  parent[parent_length] = '\0';
  return place_open(place, parent, O_PATH | O_DIRECTORY);
}
