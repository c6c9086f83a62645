/* Reading, writing and making descriptors. */
#include "warden_native.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

int warden_close(int fd) {
  /*
   * Never repeated after EINTR: Linux has freed the number by then, and another thread may own it already.
   */
  if (close(fd) < 0 && errno != EINTR) return -errno;
  return 0;
}

int warden_duplicate(int fd) {
  int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
  return copy < 0 ? -errno : copy;
}

int64_t warden_read(int fd, void *buffer, uint32_t size) {
  ssize_t count;
  do count = read(fd, buffer, size);
  while (count < 0 && errno == EINTR);
  return count < 0 ? -errno : count;
}

int64_t warden_write(int fd, const void *bytes, uint32_t size) {
  ssize_t count;
  do count = write(fd, bytes, size);
  while (count < 0 && errno == EINTR);
  return count < 0 ? -errno : count;
}

int64_t warden_splice(int pipe, int file, uint64_t offset, uint32_t size) {
  off_t at = (off_t)offset;
  ssize_t count;
  do count = splice(pipe, NULL, file, &at, size, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
  while (count < 0 && errno == EINTR);
  return count < 0 ? -errno : count;
}

int warden_set_nonblocking(int fd) {
  int flags = fcntl(fd, F_GETFL);
  if (flags < 0) return -errno;
  if ((flags & O_NONBLOCK) == 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) return -errno;
  return 0;
}

int warden_grow_pipe(int fd, uint32_t bytes) {
  int size = fcntl(fd, F_SETPIPE_SZ, (int)bytes);
  if (size < 0) size = fcntl(fd, F_GETPIPE_SZ);
  return size < 0 ? -errno : size;
}

int warden_pipe(int32_t ends[2]) {
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) < 0) return -errno;
  ends[0] = fds[0];
  ends[1] = fds[1];
  return 0;
}

int warden_eventfd(void) {
  int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  return fd < 0 ? -errno : fd;
}

static int write_all(int fd, const char *bytes, size_t size) {
  while (size > 0) {
    ssize_t count = write(fd, bytes, size);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return -errno;
    bytes += count;
    size -= (size_t)count;
  }
  return 0;
}

int warden_sealed_memfd(const char *name, const void *content, uint32_t size) {
  int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0) return -errno;
  int error = write_all(fd, content, size);
  if (error == 0 && lseek(fd, 0, SEEK_SET) < 0) error = -errno;
  /*
   * F_SEAL_SEAL last in meaning: nobody who receives the descriptor can add to or rely on less than these.
   */
  if (error == 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0)
    error = -errno;
  if (error < 0) {
    close(fd);
    return error;
  }
  return fd;
}
