#include "setting.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

int setting_write(const char *path, const char *value) {
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return -1;
  const size_t length = strlen(value);
  const ssize_t written = write(fd, value, length);
  int saved = errno;
  close(fd);
  errno = written >= 0 ? EIO : saved; /* the kernel takes all of a word, or refuses it */
  return written == (ssize_t)length ? 0 : -1;
}
