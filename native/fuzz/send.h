/* How targets speak to what they try: a message of a unix socket, with descriptors if wanted. */
#ifndef FUZZ_SEND_H
#define FUZZ_SEND_H

#include "fuzz.h"

#include <sys/socket.h>

#define SEND_FDS_MAX 8

/* As sendmsg(2): what does not fit is not sent, and nobody who has gone is a signal. */
static inline ssize_t send_with(int socket, const void *bytes, size_t length, const int *fds,
                                size_t fd_count) {
  union {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(int) * SEND_FDS_MAX)];
  } control;
  struct iovec part = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = length};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
  must(fd_count <= SEND_FDS_MAX);
  if (fd_count > 0) {
    memset(&control, 0, sizeof control);
    message.msg_control = control.bytes;
    message.msg_controllen = CMSG_SPACE(sizeof(int) * fd_count);
    struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
    *rights = (struct cmsghdr){
        .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int) * fd_count)};
    memcpy(CMSG_DATA(rights), fds, sizeof(int) * fd_count);
  }
  return sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

#endif
