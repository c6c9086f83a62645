/*
 * What wsh takes from its socket: packets, each with a byte that says how many descriptors come along and two
 * of length.
 */
#include "send.h"

#include <stdarg.h>
#include <sys/socket.h>

/* Goes nowhere, but reads what it is given. */
static int fuzz_fprintf(FILE *stream, const char *pattern, ...) __attribute__((format(printf, 2, 3)));
static int fuzz_fprintf(FILE *stream, const char *pattern, ...) {
  static char text[256];
  va_list values;
  (void)stream;
  va_start(values, pattern);
  int length = vsnprintf(text, sizeof text, pattern, values);
  va_end(values);
  return length;
}

#define main wsh_main
int wsh_main(int argc, char **argv);
#define fprintf fuzz_fprintf
#include "../wsh/wsh.c"
#undef fprintf
#undef main
#define packet relay_packet
#define fail relay_fail
#include "../wsh/relay.c"

static void put(int socket, const void *bytes, size_t length, size_t fd_count) {
  const int fds[7] = {0};
  (void)!send_with(socket, bytes, length, fds, fd_count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static unsigned char bytes[65535 + sizeof(struct wshd_header)];
  struct input input = {.at = data, .left = size};
  uint64_t before = open_descriptors();
  int ends[2], status = -1;
  uint8_t how = input_byte(&input);
  must(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
  while (input.left > 0) {
    uint8_t kind = input_byte(&input);
    size_t length, head = 0;
    if (kind & 8) { /* with a proper header */
      const struct wshd_header header = {
          .version = WSHD_PROTOCOL_VERSION, .type = input_byte(&input), .sequence = input_byte(&input)};
      memcpy(bytes, &header, head = sizeof header);
    }
    const uint8_t *body = input_take(&input, input_number(&input, kind & 16 ? 2 : 1), &length);
    memcpy(bytes + head, body, length);
    put(ends[1], bytes, head + length, kind & 7);
  }
  shutdown(ends[1], SHUT_WR);
  struct relay relay = {
      .socket = ends[0], .is_terminal = how % 2 == 1, .input = -1, .output = -1, .errors = -1};
  int result = await_spawned(ends[0], &relay);
  if (result == 0) {
    must(relay.output >= 0 &&
         (relay.is_terminal ? relay.input < 0 && relay.errors < 0 : relay.input >= 0 && relay.errors >= 0));
    while ((result = take_event(&relay, &status)) == 0) continue;
    must(result == 1 || result < 0);
  }
  close_slot(&relay.input);
  close_slot(&relay.output);
  close_slot(&relay.errors);
  close(ends[0]);
  close(ends[1]);
  must(open_descriptors() == before);
  return 0;
}
