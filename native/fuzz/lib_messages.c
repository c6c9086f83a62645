/*
 * What the library receives for Node: messages of unix sockets with up to the kernel's most descriptors, and
 * netlink datagrams of which some come from other processes than the kernel.
 */
#include "fuzz.h"

#include "../lib/warden_native.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

static struct input datagrams;

static ssize_t fuzz_recvmsg(int fd, struct msghdr *message, int flags);
#define recvmsg fuzz_recvmsg
#include "../lib/netlink.c"
#undef recvmsg

/* A datagram is who sends it, its length and its bytes. */
static ssize_t fuzz_recvmsg(int fd, struct msghdr *message, int flags) {
  size_t length;
  (void)fd;
  must(flags == MSG_DONTWAIT && message->msg_namelen == sizeof(struct sockaddr_nl));
  if (datagrams.left == 0) {
    errno = EAGAIN;
    return -1;
  }
  const struct sockaddr_nl sender = {.nl_family = AF_NETLINK, .nl_pid = input_byte(&datagrams) % 3};
  const uint8_t *bytes = input_take(&datagrams, input_byte(&datagrams), &length);
  memcpy(message->msg_name, &sender, sizeof sender);
  bool cut = length > message->msg_iov->iov_len;
  if (cut) length = message->msg_iov->iov_len;
  if (length > 0) memcpy(message->msg_iov->iov_base, bytes, length);
  message->msg_flags = cut ? MSG_TRUNC : 0;
  return (ssize_t)length;
}

static void check_netlink(struct input *input) {
  uint32_t room = input_byte(input);
  unsigned char *buffer = malloc(room + 1);
  must(buffer != NULL);
  datagrams = *input;
  for (int64_t got = 0; got != -EAGAIN;) {
    got = warden_netlink_receive(0, buffer, room, 0);
    must(got == -EAGAIN || got == -EMSGSIZE || (got >= 0 && got <= room));
  }
  free(buffer);
}

static void check_unix(struct input *input) {
  int32_t ends[2], fds[253], count;
  int32_t sent[253] = {0};
  uint64_t before = open_descriptors();
  must(warden_socketpair(input_byte(input) % 2 == 0 ? SOCK_STREAM : SOCK_SEQPACKET, ends) == 0);
  while (input->left > 0) {
    size_t length;
    uint32_t fd_count = input_byte(input), room = input_byte(input);
    const uint8_t *bytes = input_take(input, input_byte(input), &length);
    unsigned char *buffer = malloc(room + 1);
    must(buffer != NULL);
    int64_t said = warden_send(ends[0], bytes, (uint32_t)length, sent, fd_count);
    must(said == (int64_t)length || said == -EAGAIN || (said == -EINVAL && fd_count > 253) ||
         said == -ETOOMANYREFS);
    int64_t got = warden_receive(ends[1], buffer, room, fds, &count);
    must(got == -EAGAIN || got == -EMSGSIZE || (got >= 0 && got <= room));
    must(count >= -1 && count <= 253 && (got >= 0 || count == 0));
    for (int32_t i = 0; i < count; i++) must(fds[i] > 2 && close(fds[i]) == 0);
    free(buffer);
  }
  close(ends[0]);
  close(ends[1]);
  must(open_descriptors() == before);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct input input = {.at = data, .left = size};
  if (input_byte(&input) % 2 == 0) check_netlink(&input);
  else check_unix(&input);
  return 0;
}
