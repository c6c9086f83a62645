/* wsh, on the host: messages to and from init. All integers are little-endian and unaligned. */
#include "message.h"

#include <errno.h>
#include <string.h>

static void append(struct message *message, const void *bytes, size_t length) {
  if (message->overflow || length > sizeof(message->bytes) - message->length) {
    message->overflow = true;
    return;
  }
  if (length > 0) memcpy(message->bytes + message->length, bytes, length);
  message->length += length;
}

void message_u16(struct message *message, uint16_t value) {
  const uint8_t bytes[2] = {(uint8_t)value, (uint8_t)(value >> 8)};
  append(message, bytes, sizeof(bytes));
}

void message_u32(struct message *message, uint32_t value) {
  const uint8_t bytes[4] = {(uint8_t)value, (uint8_t)(value >> 8), (uint8_t)(value >> 16),
                            (uint8_t)(value >> 24)};
  append(message, bytes, sizeof(bytes));
}

void message_u64(struct message *message, uint64_t value) {
  message_u32(message, (uint32_t)value);
  message_u32(message, (uint32_t)(value >> 32));
}

void message_begin(struct message *message, enum wshd_type type, uint32_t sequence) {
  message->length = 0;
  message->overflow = false;
  message_u16(message, WSHD_PROTOCOL_VERSION);
  message_u16(message, (uint16_t)type);
  message_u32(message, sequence);
}

void message_bytes(struct message *message, const void *bytes, size_t length) {
  if (length > WSHD_MESSAGE_MAX) {
    message->overflow = true;
    return;
  }
  message_u32(message, (uint32_t)length);
  append(message, bytes, length);
}

void message_string(struct message *message, const char *text) { message_bytes(message, text, strlen(text)); }

/* `name` with its equals sign. */
static bool sets(const struct wsh_options *options, const char *name) {
  for (size_t i = 0; i < options->environment_count; i++)
    if (strncmp(options->environment[i], name, strlen(name)) == 0) return true;
  return false;
}

static void message_variable(struct message *message, const char *name, const char *value) {
  message_u32(message, (uint32_t)(strlen(name) + strlen(value)));
  append(message, name, strlen(name));
  append(message, value, strlen(value));
}

void message_spawn(struct message *message, uint32_t sequence, const struct wsh_options *options,
                   uint32_t flags, uint16_t rows, uint16_t columns, const char *term) {
  const bool add_term = term && !sets(options, "TERM="), add_lang = options->lang && !sets(options, "LANG=");

  message_begin(message, WSHD_SPAWN, sequence);
  message_u32(message, 0); /* init chooses the id */
  message_u32(message, flags);
  message_u16(message, rows);
  message_u16(message, columns);
  message_string(message, options->user);
  message_u32(message, (uint32_t)options->command_count);
  for (size_t i = 0; i < options->command_count; i++) message_string(message, options->command[i]);
  message_u32(message, (uint32_t)options->environment_count + add_term + add_lang);
  for (size_t i = 0; i < options->environment_count; i++) message_string(message, options->environment[i]);
  if (add_term) message_variable(message, "TERM=", term);
  if (add_lang) message_variable(message, "LANG=", options->lang);
  message_u32(message, (uint32_t)options->limit_count);
  for (size_t i = 0; i < options->limit_count; i++) {
    message_u32(message, options->limits[i].resource);
    message_u64(message, options->limits[i].soft);
    message_u64(message, options->limits[i].hard);
  }
  message_bytes(message, "", 0);
}

static const uint8_t *take(struct message_reader *reader, size_t length) {
  if (reader->overrun || length > reader->left) {
    reader->overrun = true;
    return NULL;
  }
  const uint8_t *start = reader->at;
  reader->at += length;
  reader->left -= length;
  return start;
}

uint32_t message_read_u32(struct message_reader *reader) {
  const uint8_t *b = take(reader, 4);
  return b ? (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24 : 0;
}

int32_t message_read_i32(struct message_reader *reader) { return (int32_t)message_read_u32(reader); }

const char *message_read_string(struct message_reader *reader, size_t *length) {
  *length = message_read_u32(reader);
  const uint8_t *bytes = take(reader, *length);
  if (!bytes) *length = 0;
  return bytes ? (const char *)bytes : "";
}

int message_open(struct message_reader *reader, const uint8_t *bytes, size_t length,
                 struct wshd_header *header) {
  *reader = (struct message_reader){.at = bytes, .left = length, .overrun = false};
  const uint8_t *b = take(reader, 4);
  if (!b) return -EPROTO;
  header->version = (uint16_t)(b[0] | b[1] << 8);
  header->type = (uint16_t)(b[2] | b[3] << 8);
  header->sequence = message_read_u32(reader);
  return reader->overrun || header->version != WSHD_PROTOCOL_VERSION ? -EPROTO : 0;
}
