/* Building and reading the messages of wshd_protocol.h. */
#ifndef WSH_MESSAGE_H
#define WSH_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "options.h"
#include "wshd_protocol.h"

/* A message under construction. After an overflow further appends do nothing. */
struct message {
  uint8_t bytes[WSHD_MESSAGE_MAX];
  size_t length;
  bool overflow;
};

/* A received message being read. After a read beyond its end every value is 0. */
struct message_reader {
  const uint8_t *at;
  size_t left;
  bool overrun;
};

void message_begin(struct message *message, enum wshd_type type, uint32_t sequence);
void message_u16(struct message *message, uint16_t value);
void message_u32(struct message *message, uint32_t value);
void message_u64(struct message *message, uint64_t value);
void message_bytes(struct message *message, const void *bytes, size_t length);
void message_string(struct message *message, const char *text);

/* The SPAWN of an operator. `term` is the value for TERM, NULL: none. */
void message_spawn(struct message *message, uint32_t sequence, const struct wsh_options *options,
                   uint32_t flags, uint16_t rows, uint16_t columns, const char *term);

/* 0, or -EPROTO for a message that is too short or of another version. */
int message_open(struct message_reader *reader, const uint8_t *bytes, size_t length,
                 struct wshd_header *header);
uint32_t message_read_u32(struct message_reader *reader);
int32_t message_read_i32(struct message_reader *reader);
/* A string as pointer into the message and length; it is not terminated. */
const char *message_read_string(struct message_reader *reader, size_t *length);

#endif
