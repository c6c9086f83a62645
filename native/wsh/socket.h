/* The connection to init. */
#ifndef WSH_SOCKET_H
#define WSH_SOCKET_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "wshd_protocol.h"

struct descriptors {
  int fd[WSHD_FDS_MAX];
  size_t count;
};

/*
 * A connected SOCK_SEQPACKET socket, close-on-exec, or -errno. The path may be longer than sockaddr_un
 * admits.
 */
int socket_connect(const char *path);

/* Sends one message: 0 or -errno. */
int socket_send(int fd, const uint8_t *bytes, size_t length);

/* Receives one message into WSHD_MESSAGE_MAX bytes: its length, 0 at the end of the connection, or -errno. */
ssize_t socket_receive(int fd, uint8_t *bytes, struct descriptors *received);

#endif
