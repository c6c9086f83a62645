#include "channel.h"

#include "transfer.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

union control {
  char space[CMSG_SPACE(sizeof(int))];
  struct cmsghdr align;
};

void channel_init(struct channel *channel, int socket, bool takes_descriptors) {
  channel->socket = socket;
  channel->takes_descriptors = takes_descriptors;
  channel->descriptor = -1;
  channel->written = channel->start = channel->end = 0;
}

int channel_flush(struct channel *channel) {
  size_t sent = 0;
  while (sent < channel->written) {
    ssize_t count = send(channel->socket, channel->out + sent, channel->written - sent, MSG_NOSIGNAL);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) {
      if (errno == EPIPE) errno = ECONNRESET;
      return -1;
    }
    sent += (size_t)count;
  }
  channel->written = 0;
  return 0;
}

unsigned char *channel_reserve(struct channel *channel, size_t name_length, size_t size) {
  size_t before = sizeof(struct copy_header) + name_length;
  if (channel->written + before + size > sizeof channel->out && channel_flush(channel) != 0) return NULL;
  return channel->out + channel->written + before;
}

void channel_commit(struct channel *channel, const struct copy_header *header, const char *name) {
  unsigned char *at = channel->out + channel->written;
  memcpy(at, header, sizeof *header);
  memcpy(at + sizeof *header, name, header->name_length);
  channel->written += sizeof *header + header->name_length + header->payload_length;
}

int channel_send(struct channel *channel, const struct copy_header *header, const char *name,
                 const void *payload) {
  unsigned char *room = channel_reserve(channel, header->name_length, header->payload_length);
  if (room == NULL) return -1;
  if (payload != NULL) memcpy(room, payload, header->payload_length);
  channel_commit(channel, header, name);
  return 0;
}

int channel_send_fd(struct channel *channel, const struct copy_header *header, const char *name, int fd) {
  if (channel_flush(channel) != 0 || channel_send(channel, header, name, NULL) != 0) return -1;
  union control control = {.space = {0}};
  struct iovec part = {.iov_base = channel->out, .iov_len = channel->written};
  struct msghdr message = {.msg_iov = &part,
                           .msg_iovlen = 1,
                           .msg_control = control.space,
                           .msg_controllen = sizeof control.space};
  struct cmsghdr *rights = &control.align; /* the first, and only */
  rights->cmsg_level = SOL_SOCKET;
  rights->cmsg_type = SCM_RIGHTS;
  rights->cmsg_len = CMSG_LEN(sizeof(int));
  memcpy(CMSG_DATA(rights), &fd, sizeof fd);
  ssize_t count;
  do count = sendmsg(channel->socket, &message, MSG_NOSIGNAL);
  while (count < 0 && errno == EINTR);
  if (count < 0) {
    if (errno == EPIPE) errno = ECONNRESET;
    return -1;
  }
  /* a message this short is sent as a whole; should it not be, the descriptor went with its first byte */
  memmove(channel->out, channel->out + count, channel->written - (size_t)count);
  channel->written -= (size_t)count;
  return channel_flush(channel);
}

int channel_take_fd(struct channel *channel) {
  int fd = channel->descriptor;
  channel->descriptor = -1;
  if (fd >= 0 && transfer_accepts(fd)) return fd;
  if (fd >= 0) close(fd);
  errno = EPROTO;
  return -1;
}

/*
 * Keeps at most one descriptor: a liar who sends more has them closed. What does not fit the kernel closes,
 * so there is room for one and not for the padding behind it, which would hold a second.
 */
static ssize_t receive(struct channel *channel, void *into, size_t size) {
  /* none is asked for: the kernel closes them all */
  if (!channel->takes_descriptors) return recv(channel->socket, into, size, 0);
  union control control = {.space = {0}};
  struct iovec part = {.iov_base = into, .iov_len = size};
  struct msghdr message = {.msg_iov = &part,
                           .msg_iovlen = 1,
                           .msg_control = control.space,
                           .msg_controllen = CMSG_LEN(sizeof(int))};
  ssize_t count = recvmsg(channel->socket, &message, MSG_CMSG_CLOEXEC);
  struct cmsghdr *rights = count > 0 ? CMSG_FIRSTHDR(&message) : NULL;
  if (rights != NULL && rights->cmsg_level == SOL_SOCKET && rights->cmsg_type == SCM_RIGHTS &&
      rights->cmsg_len >= CMSG_LEN(sizeof(int))) {
    if (channel->descriptor >= 0) close(channel->descriptor);
    memcpy(&channel->descriptor, CMSG_DATA(rights), sizeof(int));
  }
  return count;
}

/* Reads until `length` bytes are there; a message is never longer than the buffer. */
static int fill(struct channel *channel, size_t length) {
  if (channel->start > 0 && channel->start + length > sizeof channel->in) {
    memmove(channel->in, channel->in + channel->start, channel->end - channel->start);
    channel->end -= channel->start;
    channel->start = 0;
  }
  while (channel->end - channel->start < length) {
    ssize_t count = receive(channel, channel->in + channel->end, sizeof channel->in - channel->end);
    if (count < 0 && errno == EINTR) continue;
    if (count == 0) errno = ECONNRESET;
    if (count <= 0) return -1;
    channel->end += (size_t)count;
  }
  return 0;
}

static int refuse(void) {
  errno = EPROTO;
  return -1;
}

int channel_receive(struct channel *channel, struct message *message) {
  struct copy_header header;
  if (channel->start == channel->end) channel->start = channel->end = 0;
  if (fill(channel, sizeof header) != 0) return -1;
  memcpy(&header, channel->in + channel->start, sizeof header);
  if (header.type < COPY_ROOT || header.type > COPY_DONE || header.name_length > COPY_NAME_MAX ||
      header.payload_length > COPY_INLINE_MAX)
    return refuse();
  size_t length = sizeof header + header.name_length + header.payload_length;
  if (fill(channel, length) != 0) return -1;
  const unsigned char *name = channel->in + channel->start + sizeof header;
  if (memchr(name, '\0', header.name_length) != NULL) return refuse();
  message->type = (enum copy_type)header.type;
  message->mode = header.mode;
  message->size = header.size;
  memcpy(message->name, name, header.name_length);
  message->name[header.name_length] = '\0';
  message->payload = name + header.name_length;
  message->payload_length = header.payload_length;
  channel->start += length;
  return 0;
}

int channel_send_failure(struct channel *channel, enum copy_type type, const struct failure *failure) {
  struct copy_header header = {
      .type = (uint16_t)type,
      .mode = (uint32_t)failure->error,
      .size = failure->count,
      .name_length = (uint16_t)strlen(failure->operation),
      .payload_length = (uint32_t)strlen(failure->path),
  };
  if (channel_send(channel, &header, failure->operation, failure->path) != 0) return -1;
  return channel_flush(channel);
}

void failure_of_message(const struct message *message, struct failure *failure) {
  size_t length =
      message->payload_length < sizeof failure->path ? message->payload_length : sizeof failure->path - 1;
  failure->error = (int)(message->mode & 0xfff);
  if (failure->error == 0 && message->mode != 0) failure->error = EPROTO;
  failure->count = message->size;
  size_t name = strlen(message->name) < sizeof failure->operation ? strlen(message->name)
                                                                  : sizeof failure->operation - 1;
  memcpy(failure->operation, message->name, name);
  failure->operation[name] = '\0';
  if (length > 0) memcpy(failure->path, message->payload, length);
  failure->path[length] = '\0';
}
