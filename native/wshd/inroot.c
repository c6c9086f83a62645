#include "inroot.h"

#include "descriptor.h"
#include "format.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdint.h>
#include <stdio.h> /* renameat */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

int inroot_open(int root, const char *path, int flags, mode_t mode) {
  struct open_how how = {.flags = (uint64_t)(unsigned)(flags | O_CLOEXEC),
                         .mode = mode,
                         .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
  int fd;
  /* EAGAIN: something was renamed while the kernel resolved; it asks to try again */
  for (int tries = 0; tries < 32; tries++) {
    fd = (int)syscall(SYS_openat2, root, path, &how, sizeof how);
    if (fd >= 0 || (errno != EAGAIN && errno != EINTR)) break;
  }
  return fd;
}

/* Opens a directory, making it in `parent` under `name` when it is missing. */
static int enter(int root, const char *path, int parent, const char *name) {
  int fd = inroot_open(root, path, O_PATH | O_DIRECTORY, 0);
  if (fd >= 0 || errno != ENOENT) return fd;
  if (mkdirat(parent, name, 0755) != 0 && errno != EEXIST) return -1;
  return inroot_open(root, path, O_PATH | O_DIRECTORY, 0);
}

/* As inroot_parent(), one component after the other. */
static int make_parent(int root, const char *path, char *name, size_t size) {
  char prefix[4096];
  int parent = inroot_open(root, "/", O_PATH | O_DIRECTORY, 0);
  size_t at = 0;
  if (parent < 0) return -1;
  for (;;) {
    const char *from = path + at + strspn(path + at, "/");
    size_t length = strcspn(from, "/"), end = (size_t)(from - path) + length;
    if (length == 0 || length >= size || end >= sizeof prefix) {
      close(parent);
      errno = length == 0 ? EINVAL : ENAMETOOLONG;
      return -1;
    }
    memcpy(name, from, length);
    name[length] = '\0';
    if (path[end + strspn(path + end, "/")] == '\0') return parent;
    memcpy(prefix, path, end);
    prefix[end] = '\0';
    int next = enter(root, prefix, parent, name);
    close_keeping_errno(parent);
    if (next < 0) return -1;
    parent = next;
    at = end;
  }
}

int inroot_parent(int root, const char *path, char *name, size_t size) {
  char prefix[4096];
  size_t end = strlen(path);
  while (end > 0 && path[end - 1] == '/') end--;
  size_t start = end;
  while (start > 0 && path[start - 1] != '/') start--;
  /* mostly it is there, and then the kernel goes the whole way by itself */
  if (start < end && end - start < size && start < sizeof prefix) {
    memcpy(prefix, path, start);
    prefix[start] = '\0';
    int parent = inroot_open(root, start == 0 ? "/" : prefix, O_PATH | O_DIRECTORY, 0);
    if (parent < 0 && errno != ENOENT) return -1;
    if (parent >= 0) {
      memcpy(name, path + start, end - start);
      name[end - start] = '\0';
      return parent;
    }
  }
  return make_parent(root, path, name, size);
}

int inroot_make(int root, const char *path, bool directory) {
  int fd = inroot_open(root, path, O_PATH, 0);
  if (fd >= 0 || errno != ENOENT) return fd;
  char name[256];
  int parent = inroot_parent(root, path, name, sizeof name);
  if (parent < 0) return -1;
  int made;
  if (directory) {
    made = mkdirat(parent, name, 0755);
  } else {
    made = openat(parent, name, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (made >= 0) close(made);
  }
  close_keeping_errno(parent);
  /* EEXIST: a link that leads to nothing stands there */
  return made < 0 ? -1 : inroot_open(root, path, O_PATH, 0);
}

static int write_all(int fd, const char *content, size_t length) {
  while (length > 0) {
    ssize_t written = write(fd, content, length);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return -1;
    content += written;
    length -= (size_t)written;
  }
  return 0;
}

int inroot_replace(int root, const char *path, mode_t mode, const char *content, size_t length) {
  char name[256], fresh[300];
  int parent = inroot_parent(root, path, name, sizeof name);
  if (parent < 0) return -1;
  format(fresh, sizeof fresh, ".%s.wshd", name);
  const int flags = O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC;
  int fd = openat(parent, fresh, flags, mode);
  /* the image has one of that name */
  if (fd < 0 && errno == EEXIST && unlinkat(parent, fresh, 0) == 0) fd = openat(parent, fresh, flags, mode);
  int result = fd < 0 ? -1 : write_all(fd, content, length);
  if (result == 0) result = renameat(parent, fresh, parent, name);
  int saved = errno;
  if (fd >= 0) close(fd);
  if (result != 0) unlinkat(parent, fresh, 0);
  close(parent);
  errno = saved;
  return result;
}

char *inroot_read(int root, const char *path, size_t max, size_t *length) {
  /* O_NONBLOCK: a named pipe put there must not stop init */
  int fd = inroot_open(root, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
  if (fd < 0) return NULL;
  struct stat facts;
  char *text = NULL;
  *length = 0;
  if (fstat(fd, &facts) != 0) {
    goto out;
  }
  if (!S_ISREG(facts.st_mode) || facts.st_size > (off_t)max) {
    errno = S_ISREG(facts.st_mode) ? EFBIG : EINVAL;
    goto out;
  }
  size_t room = (size_t)facts.st_size;
  if ((text = malloc(room + 1)) == NULL) goto out;
  while (*length < room) {
    ssize_t got = read(fd, text + *length, room - *length);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    *length += (size_t)got;
  }
  text[*length] = '\0';
out:
  close_keeping_errno(fd);
  return text;
}
