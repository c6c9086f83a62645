/* Reading and writing the messages of wshd_protocol.h. Neither trusts the other side's lengths. */
#ifndef WSHD_WIRE_H
#define WSHD_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wshd_protocol.h"

/* After the first value that does not fit, `failed` is set and every further value reads as zero. */
struct wire_reader {
  const unsigned char *at, *end;
  bool failed;
};

uint16_t wire_u16(struct wire_reader *reader);
uint32_t wire_u32(struct wire_reader *reader);
uint64_t wire_u64(struct wire_reader *reader);
/* A view into the message; not terminated. */
const unsigned char *wire_bytes(struct wire_reader *reader, uint32_t *length);

/* A message being written. It never grows beyond WSHD_MESSAGE_MAX; callers know that theirs fit. */
struct wire_writer {
  unsigned char bytes[WSHD_MESSAGE_MAX];
  size_t length;
};

void wire_begin(struct wire_writer *writer, uint16_t type, uint32_t sequence);
void wire_put(struct wire_writer *writer, const void *bytes, size_t length);
void wire_put_u32(struct wire_writer *writer, uint32_t value);
void wire_put_u64(struct wire_writer *writer, uint64_t value);
void wire_put_block(struct wire_writer *writer, const void *bytes, size_t length);

#endif
