#include "wire.h"

#include <string.h>

static void take(struct wire_reader *reader, void *into, size_t size) {
  if (reader->failed || (size_t)(reader->end - reader->at) < size) {
    reader->failed = true;
    memset(into, 0, size);
    return;
  }
  memcpy(into, reader->at, size);
  reader->at += size;
}

/* Every architecture in use is little-endian, as the protocol is. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the protocol is little-endian");

uint16_t wire_u16(struct wire_reader *reader) {
  uint16_t value;
  take(reader, &value, sizeof value);
  return value;
}

uint32_t wire_u32(struct wire_reader *reader) {
  uint32_t value;
  take(reader, &value, sizeof value);
  return value;
}

uint64_t wire_u64(struct wire_reader *reader) {
  uint64_t value;
  take(reader, &value, sizeof value);
  return value;
}

const unsigned char *wire_bytes(struct wire_reader *reader, uint32_t *length) {
  *length = wire_u32(reader);
  if (reader->failed || (size_t)(reader->end - reader->at) < *length) {
    reader->failed = true;
    *length = 0;
    return reader->end;
  }
  const unsigned char *bytes = reader->at;
  reader->at += *length;
  return bytes;
}

void wire_begin(struct wire_writer *writer, uint16_t type, uint32_t sequence) {
  struct wshd_header header = {.version = WSHD_PROTOCOL_VERSION, .type = type, .sequence = sequence};
  writer->length = 0;
  wire_put(writer, &header, sizeof header);
}

void wire_put(struct wire_writer *writer, const void *bytes, size_t length) {
  if (length > sizeof writer->bytes - writer->length) length = sizeof writer->bytes - writer->length;
  memcpy(writer->bytes + writer->length, bytes, length);
  writer->length += length;
}

void wire_put_u32(struct wire_writer *writer, uint32_t value) { wire_put(writer, &value, sizeof value); }

void wire_put_u64(struct wire_writer *writer, uint64_t value) { wire_put(writer, &value, sizeof value); }

void wire_put_block(struct wire_writer *writer, const void *bytes, size_t length) {
  wire_put_u32(writer, (uint32_t)length);
  wire_put(writer, bytes, length);
}
