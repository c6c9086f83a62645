/* Netlink sockets, also in a network namespace that no process lives in. */
#include "warden_native.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* A large batch is answered by one acknowledgement per message, all queued before the first can be read. */
#define RECEIVE_BUFFER_SIZE (8 * 1024 * 1024)
#define SEND_BUFFER_SIZE (4 * 1024 * 1024)

static void enlarge_buffers(int fd) {
  int receive = RECEIVE_BUFFER_SIZE, send = SEND_BUFFER_SIZE;
  /*
   * The FORCE variants pass the sysctl limit but need CAP_NET_ADMIN; without it the allowed maximum has to
   * do.
   */
  if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &receive, sizeof(receive)) < 0)
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive, sizeof(receive));
  if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &send, sizeof(send)) < 0)
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &send, sizeof(send));
}

int warden_netlink_open(int protocol) {
  struct sockaddr_nl address = {.nl_family = AF_NETLINK};
  int on = 1;
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
  if (fd < 0) return -errno;
  enlarge_buffers(fd);
  if (setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof(on)) < 0 ||
      setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof(on)) < 0 ||
      bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
    int error = -errno;
    close(fd);
    return error;
  }
  return fd;
}

struct namespace_request {
  int pid; /* whose namespace; 0: a new one */
  const int32_t *protocols;
  uint32_t count;
  int32_t *fds;
  int error;
};

static int change_namespace(int pid) {
  char path[sizeof "/proc/2147483647/ns/net"];
  if (pid == 0) return unshare(CLONE_NEWNET) < 0 ? -errno : 0;
  snprintf(path, sizeof path, "/proc/%d/ns/net", pid);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return -errno;
  int error = setns(fd, CLONE_NEWNET) < 0 ? -errno : 0;
  close(fd);
  return error;
}

/*
 * A namespace is a property of the thread: this one leaves Node's and ends, and only its sockets stay behind
 * there.
 */
static void *open_elsewhere(void *data) {
  struct namespace_request *request = data;
  request->error = change_namespace(request->pid);
  if (request->error < 0) return NULL;
  for (uint32_t i = 0; i < request->count; i++) {
    int fd = warden_netlink_open(request->protocols[i]);
    if (fd < 0) {
      request->error = fd;
      while (i-- > 0) close(request->fds[i]);
      return NULL;
    }
    request->fds[i] = fd;
  }
  return NULL;
}

int warden_netlink_open_elsewhere(int pid, const int32_t *protocols, uint32_t count, int32_t *fds) {
  struct namespace_request request = {.pid = pid, .protocols = protocols, .count = count, .fds = fds};
  pthread_t thread;
  int error = pthread_create(&thread, NULL, open_elsewhere, &request);
  if (error != 0) return -error;
  pthread_join(thread, NULL);
  return request.error;
}

int warden_netlink_send(int fd, const void *bytes, uint32_t size) {
  struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
  ssize_t count;
  do count = sendto(fd, bytes, size, MSG_DONTWAIT, (struct sockaddr *)&kernel, sizeof(kernel));
  while (count < 0 && errno == EINTR);
  if (count < 0) return -errno;
  return (size_t)count == size ? 0 : -EMSGSIZE;
}

static int64_t receive_datagram(int fd, void *buffer, uint32_t size) {
  struct sockaddr_nl sender;
  struct iovec part = {.iov_base = buffer, .iov_len = size};
  for (;;) {
    struct msghdr message = {
        .msg_name = &sender, .msg_namelen = sizeof(sender), .msg_iov = &part, .msg_iovlen = 1};
    ssize_t length = recvmsg(fd, &message, MSG_DONTWAIT);
    if (length < 0 && errno == EINTR) continue;
    if (length < 0) return -errno;
    if (sender.nl_pid != 0) continue; /* only the kernel answers requests; another process could forge one */
    return (message.msg_flags & MSG_TRUNC) != 0 ? -EMSGSIZE : length;
  }
}

int64_t warden_netlink_receive(int fd, void *buffer, uint32_t size, int timeout_ms) {
  int64_t length = receive_datagram(fd, buffer, size);
  if (length != -EAGAIN || timeout_ms == 0) return length;
  struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
  if (poll(&poll_fd, 1, timeout_ms) < 0 && errno != EINTR) return -errno;
  return receive_datagram(fd, buffer, size);
}

int warden_interface_index(const char *name) {
  struct ifreq request = {0};
  if (strlen(name) >= sizeof(request.ifr_name)) return -EINVAL;
  memcpy(request.ifr_name, name, strlen(name));
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  int result = ioctl(fd, SIOCGIFINDEX, &request) < 0 ? -errno : request.ifr_ifindex;
  close(fd);
  return result == -ENODEV ? 0 : result;
}
