#include "setting.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define SETTINGS "/proc/sys/"

static int write_at(int directory, const char *path, const char *value) {
  int fd = openat(directory, path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return -1;
  const size_t length = strlen(value);
  const ssize_t written = write(fd, value, length);
  int saved = errno;
  close(fd);
  errno = written >= 0 ? EIO : saved; /* the kernel takes all of a word, or refuses it */
  return written == (ssize_t)length ? 0 : -1;
}

int setting_write(const char *path, const char *value) { return write_at(AT_FDCWD, path, value); }

int setting_write_own(int settings, const char *path, const char *value) {
  if (strncmp(path, SETTINGS, sizeof SETTINGS - 1) == 0)
    return write_at(settings, path + sizeof SETTINGS - 1, value);
  errno = EINVAL;
  return -1;
}
