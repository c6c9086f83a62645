#include "format.h"

#include <stdarg.h>
#include <string.h>
#include <unistd.h>

struct output {
  char *into;
  size_t size, length; /* length goes on counting when size is used up */
};

static void put(struct output *output, const char *text, size_t length) {
  if (output->length < output->size) {
    size_t room = output->size - output->length;
    memcpy(output->into + output->length, text, length < room ? length : room);
  }
  output->length += length;
}

static void put_unsigned(struct output *output, unsigned value) {
  char digits[12];
  size_t at = sizeof digits;
  do digits[--at] = (char)('0' + value % 10);
  while ((value /= 10) != 0);
  put(output, digits + at, sizeof digits - at);
}

static size_t build(char *into, size_t size, const char *pattern, va_list values) {
  struct output output = {.into = into, .size = size};
  for (;;) {
    size_t literal = strcspn(pattern, "%");
    put(&output, pattern, literal);
    pattern += literal;
    if (*pattern == '\0') break;
    char kind = pattern[1];
    pattern += 2;
    if (kind == 's') {
      const char *text = va_arg(values, const char *);
      put(&output, text, strlen(text));
    } else if (kind == 'd') {
      int value = va_arg(values, int);
      if (value < 0) put(&output, "-", 1);
      put_unsigned(&output, value < 0 ? 0u - (unsigned)value : (unsigned)value);
    } else if (kind == 'u') {
      put_unsigned(&output, va_arg(values, unsigned));
    } else {
      put(&output, "%", 1);
    }
  }
  if (size > 0) into[output.length < size ? output.length : size - 1] = '\0';
  return output.length;
}

size_t format(char *into, size_t size, const char *pattern, ...) {
  va_list values;
  va_start(values, pattern);
  size_t length = build(into, size, pattern, values);
  va_end(values);
  return length;
}

void complain(const char *pattern, ...) {
  char text[2048];
  va_list values;
  va_start(values, pattern);
  size_t length = build(text, sizeof text, pattern, values);
  va_end(values);
  if (length >= sizeof text) {
    length = sizeof text - 1;
    text[length - 1] = '\n';
  }
  /* nobody is left to tell when standard error is gone too */
  if (write(STDERR_FILENO, text, length) < 0) return;
}

bool parse_number(const char *text, size_t length, unsigned base, uint64_t max, uint64_t *value) {
  if (length == 0) return false;
  *value = 0;
  for (size_t i = 0; i < length; i++) {
    char lower = (char)(text[i] | 0x20); /* a digit has that bit already */
    unsigned digit = text[i] >= '0' && text[i] <= '9' ? (unsigned)(text[i] - '0')
                     : lower >= 'a' && lower <= 'f'   ? (unsigned)(lower - 'a') + 10
                                                      : 16;
    if (digit >= base || digit > max || *value > (max - digit) / base) return false;
    *value = *value * base + digit;
  }
  return true;
}
