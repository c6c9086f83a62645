/*
 * Many small files of the kernel's by one call: from JavaScript each costs several times what the kernel
 * takes for it.
 */
#include "warden_native.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

/*
 * Answers how many bytes were read. A file that is longer than `size` is -EOVERFLOW: half a statistic is
 * none.
 */
static int32_t read_whole(const char *path, char *to, size_t size) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return -errno;
  size_t length = 0;
  int32_t error = 0;
  for (;;) {
    if (length == size) {
      error = -EOVERFLOW;
      break;
    }
    int64_t count = warden_read(fd, to + length, (uint32_t)(size - length));
    if (count < 0) error = (int32_t)count;
    if (count <= 0) break;
    length += (size_t)count;
  }
  close(fd);
  return error < 0 ? error : (int32_t)length;
}

/* A control file takes a value by one write or not at all. */
static int32_t write_value(const char *path, const char *value, size_t size) {
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return -errno;
  int64_t count = warden_write(fd, value, (uint32_t)size);
  close(fd);
  return count < 0 ? (int32_t)count : 0;
}

int64_t warden_control_files(const char *directory, const char *operations, uint32_t size, char *answers,
                             uint32_t room) {
  char path[PATH_MAX];
  size_t above = strlen(directory);
  if (above >= sizeof path - 1) return -ENAMETOOLONG;
  memcpy(path, directory, above);
  path[above++] = '/';
  const char *end = operations + size;
  size_t used = 0;
  while (operations < end) {
    const char *name = operations;
    const char *value = name + strlen(name) + 1;
    size_t length = strlen(value);
    operations = value + length + 1;
    int32_t result = -ENAMETOOLONG;
    if (room - used < sizeof result) return -EOVERFLOW;
    if ((size_t)(value - name) <= sizeof path - above) {
      memcpy(path + above, name, (size_t)(value - name));
      if (length > 0) result = write_value(path, value, length);
      else result = read_whole(path, answers + used + sizeof result, room - used - sizeof result);
    }
    memcpy(answers + used, &result, sizeof result);
    used += sizeof result + (result > 0 ? (size_t)result : 0);
  }
  return (int64_t)used;
}
