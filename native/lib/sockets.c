/* Unix sockets: connecting without blocking, and messages that carry descriptors. */
#include "warden_native.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#define MAX_PASSED_FDS 253 /* SCM_MAX_FD of the kernel */

int warden_socketpair(int type, int32_t ends[2]) {
  int fds[2];
  if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, fds) < 0) return -errno;
  ends[0] = fds[0];
  ends[1] = fds[1];
  return 0;
}

static int connect_address(const char *path, int type) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof(address.sun_path)) return -ENAMETOOLONG;
  memcpy(address.sun_path, path, strlen(path) + 1);
  int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -errno;
  if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
    int error = -errno;
    close(fd);
    return error;
  }
  return fd;
}

/* sun_path holds 108 bytes, a depot may lie deeper: go through a descriptor of the directory. */
static int connect_below_directory(const char *path, int type) {
  const char *slash = strrchr(path, '/');
  char directory[4096];
  char short_path[sizeof(((struct sockaddr_un *)0)->sun_path)];
  if (slash == NULL || (size_t)(slash - path) >= sizeof(directory)) return -ENAMETOOLONG;
  memcpy(directory, path, (size_t)(slash - path));
  directory[slash - path] = '\0';

  int fd = open(slash == path ? "/" : directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return -errno;
  int length = snprintf(short_path, sizeof(short_path), "/proc/self/fd/%d/%s", fd, slash + 1);
  int result = length >= (int)sizeof(short_path) ? -ENAMETOOLONG : connect_address(short_path, type);
  close(fd);
  return result;
}

int warden_connect_unix(const char *path, int type) {
  if (strlen(path) < sizeof(((struct sockaddr_un *)0)->sun_path)) return connect_address(path, type);
  return connect_below_directory(path, type);
}

int64_t warden_send(int fd, const void *bytes, uint32_t size, const int32_t *fds, uint32_t fd_count) {
  union {
    char space[CMSG_SPACE(MAX_PASSED_FDS * sizeof(int))];
    struct cmsghdr align;
  } control;
  struct iovec part = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = size};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
  if (fd_count > MAX_PASSED_FDS) return -EINVAL;
  if (fd_count > 0) {
    memset(&control, 0, sizeof(control));
    message.msg_control = control.space;
    message.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
    struct cmsghdr *header = &control.align; /* the first, and only */
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
    memcpy(CMSG_DATA(header), fds, fd_count * sizeof(int));
  }
  ssize_t count;
  /* Not by the function: musl's copies the control data into 1024 bytes to clear their padding, and 253
     descriptors need 1032. All of it is cleared here already. */
  do count = syscall(SYS_sendmsg, fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  while (count < 0 && errno == EINTR);
  return count < 0 ? -errno : count;
}

static int collect_descriptors(struct msghdr *message, int32_t *fds) {
  int count = 0;
  for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header != NULL;
       header = CMSG_NXTHDR(message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    size_t bytes = header->cmsg_len - CMSG_LEN(0);
    memcpy(fds + count, CMSG_DATA(header), bytes);
    count += (int)(bytes / sizeof(int));
  }
  return count;
}

/*
 * `fds` has room for 253 numbers, as many as the kernel lets anybody send. Data that did not fit are an
 * error: half a message is useless. Descriptors that this process could not take, for it has as many open as
 * it may, are told by a count of -1: the message is whole, and who sent it is not to blame.
 */
int64_t warden_receive(int fd, void *buffer, uint32_t size, int32_t *fds, int32_t *fd_count) {
  union {
    char space[CMSG_SPACE(MAX_PASSED_FDS * sizeof(int))];
    struct cmsghdr align;
  } control;
  struct iovec part = {.iov_base = buffer, .iov_len = size};
  struct msghdr message = {.msg_iov = &part,
                           .msg_iovlen = 1,
                           .msg_control = control.space,
                           .msg_controllen = sizeof(control.space)};
  ssize_t length;
  *fd_count = 0;
  do length = recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  while (length < 0 && errno == EINTR);
  if (length < 0) return -errno;
  int count = collect_descriptors(&message, fds);
  if ((message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) {
    for (int i = 0; i < count; i++) close(fds[i]);
    if ((message.msg_flags & MSG_TRUNC) != 0) return -EMSGSIZE;
    count = -1;
  }
  *fd_count = count;
  return length;
}

int warden_grow_send_buffer(int fd, uint32_t bytes) {
  int held = 0, wanted = (int)bytes;
  socklen_t size = sizeof(held);
  if (getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &held, &size) < 0) return -errno;
  /* the kernel doubles what it is told, and tells the double */
  if (held / 2 >= wanted) return 0;
  /* beyond what the host allows everybody, where this process may */
  if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &wanted, sizeof(wanted)) == 0) return 0;
  return setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &wanted, sizeof(wanted)) < 0 ? -errno : 0;
}

int warden_datagram_socket(void) {
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  return fd < 0 ? -errno : fd;
}

int warden_send_datagram(int fd, const char *path, const void *bytes, uint32_t size) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  size_t length = strlen(path);
  if (length >= sizeof(address.sun_path)) return -ENAMETOOLONG;
  memcpy(address.sun_path, path, length + 1);
  socklen_t address_size = sizeof(address);
  if (path[0] == '@') { /* in the abstract name space each byte counts, the zeros behind the name too */
    address.sun_path[0] = '\0';
    address_size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
  }
  ssize_t count;
  do count = sendto(fd, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT, (struct sockaddr *)&address, address_size);
  while (count < 0 && errno == EINTR);
  return count < 0 ? -errno : 0;
}

int warden_peer_credentials(int fd, int32_t pid_uid_gid[3]) {
  struct ucred credentials;
  socklen_t size = sizeof(credentials);
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) < 0) return -errno;
  pid_uid_gid[0] = credentials.pid;
  pid_uid_gid[1] = (int32_t)credentials.uid;
  pid_uid_gid[2] = (int32_t)credentials.gid;
  return 0;
}
