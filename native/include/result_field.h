/*
 * The fields of a result that a program of ours tells its daemon: each ended by a zero, and none with a
 * character that commands a terminal.
 */
#ifndef RESULT_FIELD_H
#define RESULT_FIELD_H

#include <stddef.h>
#include <string.h>

/* Writes one, cut to `size` bytes with its end. Answers what it took. */
static inline size_t result_field(char *into, size_t size, const char *text) {
  size_t length = strlen(text);
  if (length >= size) length = size - 1;
  for (size_t i = 0; i < length; i++)
    into[i] = (unsigned char)text[i] < 0x20 || text[i] == 0x7f ? '?' : text[i];
  into[length] = '\0';
  return length + 1;
}

#endif
