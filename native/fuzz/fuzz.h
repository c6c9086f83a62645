/*
 * What the fuzz targets have in common. A target is one file that defines LLVMFuzzerTestOneInput() and
 * includes this header. It is linked with clang's libFuzzer to search, and with replay.c to run what is kept
 * in corpus/<target>/ through the sanitizers of any compiler.
 *
 * A target does more than not to crash: it states what must hold of the answer with must().
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define must(condition) ((condition) ? (void)0 : fuzz_fail(#condition, __FILE__, __LINE__))

static inline _Noreturn void fuzz_fail(const char *condition, const char *file, int line) {
  fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, condition);
  abort();
}

/* The input, taken bit by bit. At its end every number is 0 and every piece is empty. */
struct input {
  const uint8_t *at;
  size_t left;
};

static inline uint8_t input_byte(struct input *input) {
  if (input->left == 0) return 0;
  input->left--;
  return *input->at++;
}

static inline uint32_t input_number(struct input *input, size_t bytes) {
  uint32_t value = 0;
  for (size_t i = 0; i < bytes; i++) value |= (uint32_t)input_byte(input) << (8 * i);
  return value;
}

/* The next `size` bytes, or what is left; a view. */
static inline const uint8_t *input_take(struct input *input, size_t size, size_t *length) {
  const uint8_t *from = input->at;
  *length = size < input->left ? size : input->left;
  input->at += *length;
  input->left -= *length;
  return from;
}

/*
 * Up to the next `end`, which is left out, or the rest: a terminated copy of exactly its size, so that a read
 * beyond it is seen.
 */
static inline char *input_text(struct input *input, uint8_t end) {
  const uint8_t *found = input->left == 0 ? NULL : memchr(input->at, end, input->left);
  size_t length = found == NULL ? input->left : (size_t)(found - input->at);
  char *text = malloc(length + 1);
  must(text != NULL);
  if (length > 0) memcpy(text, input->at, length);
  text[length] = '\0';
  input->at += length;
  input->left -= length;
  if (found != NULL) input_byte(input);
  return text;
}

/* A copy of exactly its size. */
static inline uint8_t *exact_copy(const void *bytes, size_t length) {
  uint8_t *copy = malloc(length == 0 ? 1 : length);
  must(copy != NULL);
  if (length > 0) memcpy(copy, bytes, length);
  return copy;
}

/* Which of the first 64 descriptors are open, bit by bit: the same before and after whatever leaks none. */
static inline uint64_t open_descriptors(void) {
  uint64_t open = 0;
  for (int fd = 0; fd < 64; fd++)
    if (fcntl(fd, F_GETFD) >= 0) open |= (uint64_t)1 << fd;
  return open;
}

#endif
