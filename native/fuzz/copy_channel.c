/*
 * The reader of the copy helper's stream, fed in any pieces and with descriptors nobody asked for, against a
 * reader of the whole stream. Steps: a piece as it is; a message with a proper header; a look at what has
 * arrived.
 */
#include "send.h"

#include "../copy/channel.h"

#include <errno.h>
#include <sys/socket.h>

#define STREAM_MAX ((size_t)4 << 20)

static struct channel channel;
static unsigned char stream[STREAM_MAX];
static size_t sent, parsed;
static bool refused;
static int ends[2];

static void put(const void *bytes, size_t length, size_t fd_count) {
  const int fds[4] = {0};
  if (length > STREAM_MAX - sent) return;
  ssize_t count = send_with(ends[1], bytes, length, fds, fd_count);
  if (count <= 0) return;
  memcpy(stream + sent, bytes, (size_t)count);
  sent += (size_t)count;
}

/* What the stream holds at `parsed`: 1 a message, 0 not all of one, -1 nonsense. */
static int plain_parse(struct copy_header *header, const unsigned char **name) {
  if (sent - parsed < sizeof *header) return 0;
  memcpy(header, stream + parsed, sizeof *header);
  if (header->type < COPY_ROOT || header->type > COPY_DONE || header->name_length > 255 ||
      header->payload_length > 65536)
    return -1;
  size_t length = sizeof *header + header->name_length + header->payload_length;
  if (sent - parsed < length) return 0;
  *name = stream + parsed + sizeof *header;
  parsed += length;
  return memchr(*name, '\0', header->name_length) != NULL ? -1 : 1;
}

static void look(void) {
  struct message message;
  struct copy_header header;
  struct failure failure;
  const unsigned char *name;
  while (!refused) {
    int got = channel_receive(&channel, &message), saved = errno;
    int expected = plain_parse(&header, &name);
    if (got != 0) {
      must(saved == (expected < 0 ? EPROTO : EAGAIN) && expected <= 0);
      refused = expected < 0;
      return;
    }
    must(expected == 1 && (unsigned)message.type == header.type && message.mode == header.mode &&
         message.size == header.size);
    must(strlen(message.name) == header.name_length && memcmp(message.name, name, header.name_length) == 0);
    must(message.payload_length == header.payload_length &&
         memcmp(message.payload, name + header.name_length, header.payload_length) == 0);
    failure_of_message(&message, &failure);
    must((failure.error == 0) == (message.mode == 0) &&
         memchr(failure.path, '\0', sizeof failure.path) != NULL);
    must(memchr(failure.operation, '\0', sizeof failure.operation) != NULL);
  }
}

static void step(struct input *input) {
  static unsigned char message[sizeof(struct copy_header) + 65535 + COPY_INLINE_MAX];
  uint8_t kind = input_byte(input);
  size_t length, fd_count = kind >> 6;
  if (kind % 4 == 0) {
    look();
  } else if (kind % 4 == 1) {
    const uint8_t *piece = input_take(input, input_byte(input), &length);
    if (length > 0) put(piece, length, fd_count);
  } else {
    struct copy_header header = {
        .type = input_byte(input) % 13, .mode = input_number(input, 2), .size = input_number(input, 4)};
    const uint8_t *name = input_take(input, input_byte(input), &length);
    header.name_length = (uint16_t)length;
    header.payload_length =
        kind % 4 == 2 ? input_byte(input) : input_number(input, 3) % (COPY_INLINE_MAX + 8);
    memcpy(message, &header, sizeof header);
    memcpy(message + sizeof header, name, length);
    memset(message + sizeof header + length, kind, header.payload_length);
    put(message, sizeof header + length + header.payload_length, fd_count);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct input input = {.at = data, .left = size};
  const int room = 1 << 20;
  uint64_t before = open_descriptors();
  sent = parsed = 0;
  refused = false;
  must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0);
  setsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
  channel_init(&channel, ends[0], input_byte(&input) % 2 == 0);
  while (input.left > 0) step(&input);
  look();
  must(channel.takes_descriptors || channel.descriptor < 0);
  if (channel.descriptor >= 0) close(channel.descriptor);
  close(ends[0]);
  close(ends[1]);
  must(open_descriptors() == before);
  return 0;
}
