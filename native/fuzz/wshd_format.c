/* Text and numbers without stdio, against stdio: base, limit, size of the output, then text. */
#include "fuzz.h"

#include "../wshd/format.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>

static bool reference(const char *text, unsigned base, uint64_t max, uint64_t *value) {
  char *end;
  for (const char *at = text; *at != '\0'; at++)
    if (!isalnum((unsigned char)*at)) return false;
  if (base == 16 && text[0] == '0' && (text[1] | 0x20) == 'x') return false;
  errno = 0;
  *value = strtoull(text, &end, (int)base);
  return end != text && *end == '\0' && errno == 0 && *value <= max;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const unsigned bases[] = {8, 10, 16};
  struct input input = {.at = data, .left = size};
  unsigned base = bases[input_byte(&input) % 3];
  uint64_t max = (uint64_t)input_number(&input, 4) << 32 | input_number(&input, 4), value = 0, expected = 0;
  int number = (int)input_number(&input, 4);
  size_t room = input_byte(&input);
  char *text = input_text(&input, '\0');
  bool known = reference(text, base, max, &expected);
  must(parse_number(text, strlen(text), base, max, &value) == known);
  if (known) must(value == expected);
  char *ours = malloc(room + 1), *theirs = malloc(room + 1);
  must(ours != NULL && theirs != NULL);
  memset(ours, 1, room + 1);
  size_t length = format(ours, room, "<%s> %d 100%% %u %s", text, number, (unsigned)number, text);
  int same = snprintf(theirs, room, "<%s> %d 100%% %u %s", text, number, (unsigned)number, text);
  must(same >= 0 && length == (size_t)same && ours[room] == 1);
  if (room > 0) must(strcmp(ours, theirs) == 0);
  free(ours);
  free(theirs);
  free(text);
  return 0;
}
