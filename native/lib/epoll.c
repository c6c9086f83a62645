/*
 * One epoll descriptor stands for all watched descriptors, so that Node's event loop sees a single one.
 * Registrations carry a cookie instead of the descriptor's number, which may be closed and reused between the
 * event and its delivery.
 */
#include "warden_native.h"

#include <errno.h>
#include <sys/epoll.h>

#define MAX_EVENTS 256

int warden_epoll_create(void) {
  int fd = epoll_create1(EPOLL_CLOEXEC);
  return fd < 0 ? -errno : fd;
}

static int control(int epoll_fd, int operation, int fd, uint32_t events, uint32_t cookie) {
  struct epoll_event event = {.events = events, .data = {.u64 = cookie}};
  return epoll_ctl(epoll_fd, operation, fd, &event) < 0 ? -errno : 0;
}

int warden_epoll_add(int epoll_fd, int fd, uint32_t events, uint32_t cookie) {
  return control(epoll_fd, EPOLL_CTL_ADD, fd, events, cookie);
}

int warden_epoll_modify(int epoll_fd, int fd, uint32_t events, uint32_t cookie) {
  return control(epoll_fd, EPOLL_CTL_MOD, fd, events, cookie);
}

int warden_epoll_delete(int epoll_fd, int fd) { return control(epoll_fd, EPOLL_CTL_DEL, fd, 0, 0); }

int warden_epoll_poll(int epoll_fd, uint32_t *events, uint32_t capacity) {
  struct epoll_event ready[MAX_EVENTS];
  int limit = capacity < MAX_EVENTS ? (int)capacity : MAX_EVENTS;
  int count;
  do count = epoll_wait(epoll_fd, ready, limit, 0);
  while (count < 0 && errno == EINTR);
  if (count < 0) return -errno;
  for (int i = 0; i < count; i++) {
    events[2 * i] = (uint32_t)ready[i].data.u64;
    events[2 * i + 1] = ready[i].events;
  }
  return count;
}
