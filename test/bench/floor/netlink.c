#include "netlink.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netlink.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int netlink_open(int protocol) {
  struct sockaddr_nl address = {.nl_family = AF_NETLINK};
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol), on = 1;
  if (fd < 0) return -1;
  setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof on);
  return bind(fd, (struct sockaddr *)&address, sizeof address) == 0 ? fd : -1;
}

static void append(struct request *request, const void *data, size_t length) {
  memcpy(request->bytes + request->length, data, length);
  request->length += length;
  while (request->length % 4 != 0) request->bytes[request->length++] = 0;
}

static void close_message(struct request *request) {
  uint32_t length = (uint32_t)(request->length - request->message);
  if (length > 0) memcpy(request->bytes + request->message, &length, sizeof length);
}

void request_begin(struct request *request, uint16_t type, uint16_t flags, const void *header,
                   size_t header_length) {
  if (request->length > 0) close_message(request);
  request->message = request->length;
  struct nlmsghdr head = {
      .nlmsg_type = type, .nlmsg_flags = NLM_F_REQUEST | flags, .nlmsg_seq = ++request->sequence};
  if (flags & NLM_F_ACK) request->acknowledged = request->sequence;
  append(request, &head, sizeof head);
  append(request, header, header_length);
}

void put_bytes(struct request *request, uint16_t type, const void *data, size_t length) {
  struct nlattr head = {.nla_len = (uint16_t)(sizeof head + length), .nla_type = type};
  append(request, &head, sizeof head);
  append(request, data, length);
}

void put_text(struct request *request, uint16_t type, const char *text) {
  put_bytes(request, type, text, strlen(text) + 1);
}

void put_u32(struct request *request, uint16_t type, uint32_t value) {
  put_bytes(request, type, &value, sizeof value);
}

void put_be32(struct request *request, uint16_t type, uint32_t value) {
  put_u32(request, type, htonl(value));
}

size_t nest_begin(struct request *request, uint16_t type) {
  size_t at = request->length;
  struct nlattr head = {.nla_type = type | NLA_F_NESTED};
  append(request, &head, sizeof head);
  return at;
}

void nest_end(struct request *request, size_t at) {
  uint16_t length = (uint16_t)(request->length - at);
  memcpy(request->bytes + at, &length, sizeof length);
}

int request_send(int fd, struct request *request) {
  static unsigned char answer[65536];
  struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
  close_message(request);
  if (sendto(fd, request->bytes, request->length, 0, (struct sockaddr *)&kernel, sizeof kernel) < 0)
    return -errno;
  int refusal = 0;
  for (;;) {
    ssize_t got = recv(fd, answer, sizeof answer, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return -errno;
    for (struct nlmsghdr *head = (struct nlmsghdr *)answer; NLMSG_OK(head, got);
         head = NLMSG_NEXT(head, got)) {
      if (head->nlmsg_type != NLMSG_ERROR) continue;
      const struct nlmsgerr *verdict = NLMSG_DATA(head);
      if (refusal == 0) refusal = verdict->error;
      /* of an nftables batch that fails, nothing more comes than the refusal */
      if (head->nlmsg_seq == request->acknowledged || verdict->error != 0) return refusal;
    }
  }
}
