/*
 * wsh's command line and RLIMIT_ variables, and the request it makes of them, which init's reader must read
 * as it was meant: words that end with NUL, those from the first empty one on values of RLIMIT_ variables.
 */
#include "fuzz.h"

#include "../wsh/limits.h"
#include "../wsh/message.h"
#include "../wsh/options.h"
#include "../wshd/wire.h"

static char *values[WSH_LIMITS];
static size_t value_count, next_value;

/* The order in which they are asked for does not matter: each gets another text. */
static char *lookup(const char *name) {
  must(strncmp(name, "RLIMIT_", 7) == 0);
  return next_value < value_count ? values[next_value++] : NULL;
}

static void check_text(struct wire_reader *reader, const char *expected) {
  uint32_t length;
  const unsigned char *bytes = wire_bytes(reader, &length);
  must(!reader->failed && length == strlen(expected) && memcmp(bytes, expected, length) == 0);
}

static void check_request(const struct message *message, const struct wsh_options *options, bool terminal) {
  struct wire_reader reader = {.at = message->bytes + sizeof(struct wshd_header),
                               .end = message->bytes + message->length};
  must(wire_u32(&reader) == 0 && wire_u32(&reader) == 1 && wire_u16(&reader) == 24 &&
       wire_u16(&reader) == 80);
  check_text(&reader, options->user);
  must(wire_u32(&reader) == options->command_count);
  for (size_t i = 0; i < options->command_count; i++) check_text(&reader, options->command[i]);
  uint32_t variables = wire_u32(&reader), extra = variables - (uint32_t)options->environment_count;
  must(extra <= 2 && (terminal || extra <= 1));
  for (size_t i = 0; i < options->environment_count; i++) check_text(&reader, options->environment[i]);
  for (uint32_t i = 0, length; i < extra; i++)
    must(wire_bytes(&reader, &length) != NULL && length >= 5 && !reader.failed);
  must(wire_u32(&reader) == options->limit_count);
  for (size_t i = 0; i < options->limit_count; i++)
    must(wire_u32(&reader) == options->limits[i].resource && wire_u64(&reader) == options->limits[i].soft &&
         wire_u64(&reader) == options->limits[i].hard);
  must(wire_u32(&reader) == 0 && !reader.failed && reader.at == reader.end);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static struct message message;
  static struct wsh_options options;
  struct input input = {.at = data, .left = size};
  char *argv[400] = {strdup("wsh")};
  const char *wrong = NULL;
  int argc = 1;
  while (input.left > 0 && argc < 399) {
    argv[argc] = input_text(&input, '\0');
    if (argv[argc++][0] == '\0') break;
  }
  for (value_count = next_value = 0; input.left > 0 && value_count < WSH_LIMITS;)
    values[value_count++] = input_text(&input, '\0');
  enum wsh_options_result result = wsh_options_parse(&options, argc, argv, &wrong);
  if (result == WSH_OPTIONS_INVALID) must(wrong != NULL && wrong[0] == '-');
  if (wsh_limits_read(options.limits, lookup, &wrong) != 0) {
    must(strncmp(wrong, "RLIMIT_", 7) == 0);
  } else if (result == WSH_OPTIONS_OK) {
    must(options.command_count < (size_t)argc && options.environment_count <= WSH_ENVIRONMENT_MAX);
    options.limit_count = WSH_LIMITS;
    options.lang = value_count > 0 ? values[0] : NULL;
    const char *term = value_count > 1 ? values[1] : NULL;
    message_spawn(&message, 2, &options, 1, 24, 80, term);
    if (!message.overflow) check_request(&message, &options, term != NULL);
  }
  for (int i = 0; i < argc; i++) free(argv[i]);
  for (size_t i = 0; i < value_count; i++) free(values[i]);
  return 0;
}
