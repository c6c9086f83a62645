#include "init.h"

#include "descriptor.h"
#include "failpoint.h"
#include "prepared.h"
#include "streams.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* Messages of one client in one turn of the loop: others, and ended jobs, are not to wait for a flood. */
#define TURN_MAX 32

/*
 * Root of the host and nobody else: the directory is 0700 and the socket 0600, and a container's root is not
 * to talk to its own init. A peer outside this pid namespace is shown as pid 0; one inside has a number here.
 * The host's root has no number in a user namespace. Without isolation the user may too. That the keeper
 * lives proves that the pid the client was told is still its own.
 */
static bool is_trusted(const struct init *init, int fd) {
  struct ucred peer;
  socklen_t size = sizeof peer;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return false;
  if (init->keeper != 0) return (peer.uid == 0 || peer.uid == geteuid()) && getppid() == init->keeper;
  return peer.pid == 0 && (peer.uid == 0 || init->has_own_users);
}

int spare_make(void) { return eventfd(0, EFD_CLOEXEC); }

static size_t count_connections(const struct init *init) {
  size_t count = 0;
  for (const struct connection *one = init->connections; one != NULL; one = one->next) count++;
  return count;
}

/*
 * As accept(2). Without a free descriptor a waiting client could be neither served nor refused, and would be
 * reported by epoll again and again: the spare one is given up to take it and turn it away. One in each turn
 * of the loop: the kernel asks for a descriptor before it looks whether anybody waits, so that it would have
 * none for ever.
 */
static int accept_next(struct init *init) {
  int fd = accept4(init->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd >= 0 || (errno != EMFILE && errno != ENFILE)) return fd;
  close_if(init->spare);
  fd = accept4(init->listener, NULL, NULL, SOCK_CLOEXEC);
  close_if(fd);
  init->spare = spare_make();
  return -1;
}

void connection_accept(struct init *init) {
  for (;;) {
    int fd = accept_next(init);
    if (fd < 0) return;
    struct connection *connection = NULL;
    if (is_trusted(init, fd) && count_connections(init) < CONNECTIONS_MAX && failpoint(AT_ACCEPT) == 0)
      connection = calloc(1, sizeof *connection);
    if (connection == NULL) {
      close(fd);
      continue;
    }
    *connection = (struct connection){
        .watch = {WATCH_CONNECTION}, .fd = fd, .events = EPOLLIN | EPOLLRDHUP, .next = init->connections};
    connection->queue_end = &connection->queue;
    struct epoll_event event = {.events = connection->events, .data.ptr = connection};
    if (epoll_ctl(init->epoll, EPOLL_CTL_ADD, fd, &event) != 0) {
      close(fd);
      free(connection);
      continue;
    }
    init->connections = connection;
  }
}

static ssize_t send_packet(int fd, const void *bytes, size_t length, const int *fds, size_t fd_count) {
  struct iovec data = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = length};
  union {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(int) * WSHD_FDS_MAX)];
  } control;
  struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1};
  if (fd_count > 0) {
    memset(&control, 0, sizeof control);
    message.msg_control = control.bytes;
    message.msg_controllen = CMSG_SPACE(sizeof(int) * fd_count);
    struct cmsghdr *header = &control.align; /* the first, and only */
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int) * fd_count);
    memcpy(CMSG_DATA(header), fds, sizeof(int) * fd_count);
  }
  ssize_t sent;
  do sent = sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  while (sent < 0 && errno == EINTR);
  return sent;
}

static void watch_again(struct init *init, struct connection *connection) {
  uint32_t events = EPOLLRDHUP | (connection->queue != NULL && !connection->tries_again ? EPOLLOUT : 0u) |
                    (connection->queued < QUEUE_PAUSE ? EPOLLIN : 0u);
  if (connection->events == events) return;
  connection->events = events;
  struct epoll_event event = {.events = events, .data.ptr = connection};
  epoll_ctl(init->epoll, EPOLL_CTL_MOD, connection->fd, &event);
}

static void free_packet(struct packet *packet) {
  for (size_t i = 0; i < packet->fd_count; i++) close(packet->fds[i]);
  free(packet);
}

static void drop_first(struct connection *connection) {
  struct packet *packet = connection->queue;
  connection->queue = packet->next;
  if (connection->queue == NULL) connection->queue_end = &connection->queue;
  connection->queued--;
  free_packet(packet);
}

/* -fanalyzer does not see that the queue owns what its end points to. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wanalyzer-malloc-leak"
static bool enqueue(struct connection *connection, const struct wire_writer *message, const int *fds,
                    size_t fd_count) {
  struct packet *packet = connection->queued >= QUEUE_MAX ? NULL : malloc(sizeof *packet + message->length);
  if (packet == NULL) return false;
  packet->next = NULL;
  packet->length = message->length;
  packet->fd_count = 0;
  memcpy(packet->bytes, message->bytes, message->length);
  for (size_t i = 0; i < fd_count; i++) {
    int copy = duplicate(fds[i], 0);
    if (copy < 0) {
      free_packet(packet);
      return false;
    }
    packet->fds[packet->fd_count++] = copy;
  }
  *connection->queue_end = packet;
  connection->queue_end = &packet->next;
  connection->queued++;
  return true;
}
#pragma GCC diagnostic pop

/* Failures of sending that time mends: the other side's queue, or the kernel's memory, is full. */
static bool is_passing(int number) {
  return number == EAGAIN || number == ENOBUFS || number == ENOMEM || number == ETOOMANYREFS;
}

/* Where the socket has room, no event tells when the kernel has what it lacked: init_serve() tries again. */
static void put_off(struct connection *connection) { connection->tries_again = errno != EAGAIN; }

/*
 * Where nobody reads any more, what was asked for before is still to be done: behind it the hang-up is met,
 * and ends the connection.
 */
static void sending_failed(struct init *init, struct connection *connection) {
  connection->unread = errno == EPIPE || errno == ECONNRESET;
  if (!connection->unread) connection_end(init, connection);
  else
    while (connection->queue != NULL) drop_first(connection);
}

void connection_send(struct init *init, struct connection *connection, const struct wire_writer *message,
                     const int *fds, size_t fd_count) {
  if (connection->dead || connection->unread) return;
  if (connection->queue == NULL) {
    if (send_packet(connection->fd, message->bytes, message->length, fds, fd_count) >= 0) return;
    if (!is_passing(errno)) {
      sending_failed(init, connection);
      return;
    }
    put_off(connection);
  }
  if (enqueue(connection, message, fds, fd_count)) watch_again(init, connection);
  else connection_end(init, connection);
}

static void flush(struct init *init, struct connection *connection) {
  connection->tries_again = false;
  while (connection->queue != NULL) {
    const struct packet *packet = connection->queue;
    if (send_packet(connection->fd, packet->bytes, packet->length, packet->fds, packet->fd_count) >= 0) {
      drop_first(connection);
      continue;
    }
    if (is_passing(errno)) put_off(connection);
    else sending_failed(init, connection);
    break;
  }
  if (connection->dead) return;
  watch_again(init, connection);
  if (connection->queue == NULL && connection->handing_over && !connection->ready)
    jobs_hand_over(init, connection);
}

bool connections_try_again(struct init *init) {
  bool again = false;
  for (struct connection *one = init->connections; one != NULL; one = one->next) {
    if (!one->dead && one->tries_again) flush(init, one);
    again = again || (!one->dead && one->tries_again);
  }
  return again;
}

/* Takes the descriptors of a message out of its control data. */
static size_t received_fds(struct msghdr *message, int *fds) {
  size_t count = 0;
  for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header != NULL;
       header = CMSG_NXTHDR(message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    size_t held = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < held && count < WSHD_FDS_MAX; i++)
      memcpy(&fds[count++], CMSG_DATA(header) + i * sizeof(int), sizeof(int));
  }
  return count;
}

/*
 * With `hung_up` the client sends nothing more, and whether it still reads does not matter: what it has asked
 * for is done. Answers whether there may be more.
 */
static bool receive(struct init *init, struct connection *connection, bool hung_up) {
  static unsigned char buffer[WSHD_MESSAGE_MAX];
  for (int turn = 0; turn < TURN_MAX && !connection->dead && (hung_up || connection->queued < QUEUE_PAUSE);
       turn++) {
    union {
      struct cmsghdr align;
      char bytes[CMSG_SPACE(sizeof(int) * WSHD_FDS_MAX)];
    } control;
    struct iovec data = {.iov_base = buffer, .iov_len = sizeof buffer};
    struct msghdr message = {
        .msg_iov = &data, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control};
    ssize_t got = recvmsg(connection->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    /* ECONNRESET: it went with answers unread, which is told once, and in front of what it has asked for */
    if (got < 0 && (errno == EINTR || errno == ECONNRESET)) continue;
    if (got < 0 && errno == EAGAIN) return false;
    if (got < 0) {
      connection_end(init, connection);
      return false;
    }
    int fds[WSHD_FDS_MAX];
    size_t fd_count = received_fds(&message, fds);
    /* 0 is also what an empty message reads as, which is no reason to hang up */
    if (got == 0 && hung_up) connection_end(init, connection);
    else
      handle_message(init, connection, buffer, (size_t)got,
                     (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0, fds, fd_count);
    for (size_t i = 0; i < fd_count; i++) close(fds[i]);
  }
  return !connection->dead;
}

void connection_event(struct init *init, struct connection *connection, uint32_t events) {
  if (connection->dead) return;
  if (events & EPOLLOUT) flush(init, connection);
  bool hung_up = (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
  if (hung_up || (events & EPOLLIN) != 0) receive(init, connection, hung_up);
}

void connection_replace(struct init *init, struct connection *connection) {
  /* from here on nothing comes in: what is there is no more than a socket holds, whoever goes on sending */
  shutdown(connection->fd, SHUT_RD);
  while (receive(init, connection, true)) continue;
  connection_end(init, connection);
}

void connection_end(struct init *init, struct connection *connection) {
  if (connection->dead) return;
  connection->dead = true;
  epoll_ctl(init->epoll, EPOLL_CTL_DEL, connection->fd, NULL);
  close(connection->fd);
  connection->fd = -1;
  waiters_drop(init, connection);
  if (init->daemon == connection) {
    init->daemon = NULL;
    init->next_handed_over = NULL;
    prepared_drop(init);
    jobs_drain(init, true);
    failpoint(AT_DAEMON_LOST);
  }
  for (struct job *job = init->jobs, *next; job != NULL; job = next) {
    next = job->next;
    if (job->owner != connection) continue;
    job->owner = NULL;
    if (job->ended) job_forget(init, job);
    else job_hang_up(job);
  }
}

void connections_bury(struct init *init) {
  for (struct connection **at = &init->connections; *at != NULL;) {
    struct connection *connection = *at;
    if (!connection->dead) {
      at = &connection->next;
      continue;
    }
    *at = connection->next;
    while (connection->queue != NULL) drop_first(connection);
    free(connection);
  }
}
