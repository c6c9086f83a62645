/* Locks, durable and spread directories, sparse copies. */
#include "warden_native.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * The kernel reads ahead of small reads, in pieces that become larger and larger; into the pages of a large
 * one it does not.
 */
#define READ_BYTES 16384

int warden_lock_file(const char *path) {
  int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return -errno;
  int status;
  do status = flock(fd, LOCK_EX | LOCK_NB);
  while (status < 0 && errno == EINTR);
  if (status < 0) {
    int error = -errno;
    close(fd);
    return error;
  }
  return fd;
}

int warden_sync_directory(const char *path) {
  int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return -errno;
  int error = fsync(fd) < 0 ? -errno : 0;
  close(fd);
  return error;
}

int warden_spread_directories(const char *path) {
  int flags, fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return -errno;
  int error = ioctl(fd, FS_IOC_GETFLAGS, &flags) < 0 ? -errno : 0;
  if (error == 0 && (flags & FS_TOPDIR_FL) == 0) {
    flags |= FS_TOPDIR_FL;
    error = ioctl(fd, FS_IOC_SETFLAGS, &flags) < 0 ? -errno : 0;
  }
  close(fd);
  return error;
}

static int open_in_root(int root, const char *path) {
  const struct open_how how = {
      .flags = O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK,
      .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
  };
  struct stat status;
  int fd = (int)syscall(SYS_openat2, root, path, &how, sizeof how);
  if (fd < 0) return -errno;
  int error = fstat(fd, &status) < 0 ? -errno : S_ISREG(status.st_mode) ? 0 : -EINVAL;
  if (error == 0) return fd;
  close(fd);
  return error;
}

int warden_open_inside(const char *root, const char *path) {
  int directory = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (directory < 0) return -errno;
  int fd = open_in_root(directory, path);
  close(directory);
  return fd;
}

int64_t warden_reread_file(int fd) {
  char piece[READ_BYTES];
  int64_t position = 0;
  posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
  for (;;) {
    ssize_t count = pread(fd, piece, sizeof piece, (off_t)position);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return -errno;
    if (count == 0) return position;
    position += count;
  }
}

int warden_umask(uint32_t mask) { return (int)umask((mode_t)(mask & 0777)); }

static int copy_range(int from, int to, off_t start, off_t end) {
  off_t in = start, out = start;
  while (in < end) {
    ssize_t count = copy_file_range(from, &in, to, &out, (size_t)(end - in), 0);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return -errno;
    if (count == 0) return -EIO; /* the source shrank below us */
  }
  return 0;
}

static int copy_extents(int from, int to, off_t size) {
  if (ftruncate(to, size) < 0) return -errno;
  for (off_t position = 0; position < size;) {
    off_t data = lseek(from, position, SEEK_DATA);
    if (data < 0) return errno == ENXIO ? 0 : -errno; /* ENXIO: only a hole is left */
    off_t hole = lseek(from, data, SEEK_HOLE);
    if (hole < 0) return -errno;
    int error = copy_range(from, to, data, hole);
    if (error < 0) return error;
    position = hole;
  }
  return 0;
}

static int copy_open_files(int from, int to) {
  struct stat status;
  if (fstat(from, &status) < 0) return -errno;
  if (ioctl(to, FICLONE, from) == 0) return 0;
  return copy_extents(from, to, status.st_size);
}

int warden_copy_sparse(const char *source, const char *target) {
  int from = open(source, O_RDONLY | O_CLOEXEC);
  if (from < 0) return -errno;
  int to = open(target, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (to < 0) {
    int error = -errno;
    close(from);
    return error;
  }
  int error = copy_open_files(from, to);
  close(from);
  if (close(to) < 0 && error == 0) error = -errno;
  if (error < 0) unlink(target);
  return error;
}

static int allocate(int fd, off_t size) {
  struct stat status;
  if (fstat(fd, &status) < 0) return -errno;
  if (size <= status.st_size) return ftruncate(fd, size) < 0 ? -errno : 0;
  int result;
  do result = fallocate(fd, 0, 0, size);
  while (result < 0 && errno == EINTR);
  if (result == 0) return 0;
  int error = -errno;
  /* What a failed fallocate(2) got is kept by the file, also beyond its end: give it back. */
  return ftruncate(fd, status.st_size) < 0 ? -errno : error;
}

int warden_allocate_file(const char *path, uint64_t size) {
  if (size > INT64_MAX) return -EFBIG;
  int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return -errno;
  int error = allocate(fd, (off_t)size);
  close(fd);
  return error;
}
