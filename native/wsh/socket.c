/* wsh, on the host: the socket of init. */
#include "socket.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int connect_address(const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  size_t length = strlen(path);

  if (length >= sizeof(address.sun_path)) return -ENAMETOOLONG;
  memcpy(address.sun_path, path, length + 1);
  int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0) {
    int result = -errno;
    close(fd);
    return result;
  }
  return fd;
}

int socket_connect(const char *path) {
  char directory[PATH_MAX];
  char through[64];
  const char *slash = strrchr(path, '/');

  int fd = connect_address(path);
  if (fd != -ENAMETOOLONG || !slash || (size_t)(slash - path) >= sizeof(directory)) return fd;
  memcpy(directory, path, (size_t)(slash - path));
  directory[slash - path] = '\0';
  int parent = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (parent < 0) return -errno;
  int written = snprintf(through, sizeof(through), "/proc/self/fd/%d/%s", parent, slash + 1);
  fd = written > 0 && (size_t)written < sizeof(through) ? connect_address(through) : -ENAMETOOLONG;
  close(parent);
  return fd;
}

int socket_send(int fd, const uint8_t *bytes, size_t length) {
  ssize_t sent;

  do sent = send(fd, bytes, length, MSG_NOSIGNAL);
  while (sent < 0 && errno == EINTR);
  return sent < 0 ? -errno : 0;
}

static void take_descriptors(struct msghdr *header, struct descriptors *received) {
  for (struct cmsghdr *control = CMSG_FIRSTHDR(header); control; control = CMSG_NXTHDR(header, control)) {
    if (control->cmsg_level != SOL_SOCKET || control->cmsg_type != SCM_RIGHTS) continue;
    received->count = (control->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    memcpy(received->fd, CMSG_DATA(control), received->count * sizeof(int));
  }
}

ssize_t socket_receive(int fd, uint8_t *bytes, struct descriptors *received) {
  /* room for exactly the protocol's maximum: the kernel drops what exceeds it and says so */
  union {
    char buffer[CMSG_SPACE(sizeof(int) * WSHD_FDS_MAX)];
    struct cmsghdr alignment;
  } control;
  struct iovec vector = {.iov_base = bytes, .iov_len = WSHD_MESSAGE_MAX};
  struct msghdr header;
  ssize_t length;

  received->count = 0;
  do {
    memset(&header, 0, sizeof(header));
    header.msg_iov = &vector;
    header.msg_iovlen = 1;
    header.msg_control = control.buffer;
    header.msg_controllen = sizeof(control.buffer);
    length = recvmsg(fd, &header, MSG_CMSG_CLOEXEC);
  } while (length < 0 && errno == EINTR);
  if (length < 0) return -errno;
  take_descriptors(&header, received);
  return header.msg_flags & (MSG_TRUNC | MSG_CTRUNC) ? -EMSGSIZE : length;
}
