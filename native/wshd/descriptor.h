/*
 * Descriptors, with open(2) and fcntl(2) as the kernel has them. Musl's set close-on-exec by a call of its
 * own behind either, for kernels before 2.6.23: twenty of the calls that make a container.
 */
#ifndef WSHD_DESCRIPTOR_H
#define WSHD_DESCRIPTOR_H

#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* O_CLOEXEC is added. */
static inline int open_path(const char *path, int flags) {
  return openat(AT_FDCWD, path, flags | O_CLOEXEC);
}

/* The lowest number that is free from `lowest` on, with close-on-exec. */
static inline int duplicate(int fd, int lowest) {
  return (int)syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, lowest);
}

/* Behind a call whose errno is still to be told. */
static inline void close_keeping_errno(int fd) {
  const int saved = errno;
  close(fd);
  errno = saved;
}

#endif
