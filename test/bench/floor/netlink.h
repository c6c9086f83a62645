/* Netlink messages, built in place and sent in one go. */
#ifndef FLOOR_NETLINK_H
#define FLOOR_NETLINK_H

#include <stddef.h>
#include <stdint.h>

struct request {
  unsigned char bytes[8192];
  size_t length, message;
  uint32_t sequence, acknowledged;
};

int netlink_open(int protocol);
void request_begin(struct request *request, uint16_t type, uint16_t flags, const void *header,
                   size_t header_length);
void put_bytes(struct request *request, uint16_t type, const void *data, size_t length);
void put_text(struct request *request, uint16_t type, const char *text);
void put_u32(struct request *request, uint16_t type, uint32_t value);
void put_be32(struct request *request, uint16_t type, uint32_t value);
size_t nest_begin(struct request *request, uint16_t type);
void nest_end(struct request *request, size_t at);
/*
 * Sends and waits for the acknowledgement of the last message that asks for one. Answers 0 or the first
 * refusal as -errno.
 */
int request_send(int fd, struct request *request);

#endif
