/* What an archive of anybody is made of, whoever reads it. */
#ifndef FUZZ_TAR_FIELDS_H
#define FUZZ_TAR_FIELDS_H

#include "fuzz.h"

/* By the low half of an entry's first byte; 15: bytes as they are. */
static const char TAR_KINDS[] = {'0', '5', '2', '1', 'x', 'L', 'K', 'g', '3', '6', '\0', '7', 'S', 'D', '9'};

static inline void put_octal(void *field, size_t width, uint64_t value) {
  for (size_t i = width - 1; i-- > 0; value >>= 3) ((char *)field)[i] = (char)('0' + (value & 7));
}

/* Of a block that has all else; `more` makes it wrong. */
static inline void put_checksum(void *block, unsigned more) {
  unsigned char *bytes = block;
  unsigned sum = more;
  memset(bytes + 148, ' ', 8);
  for (size_t i = 0; i < 512; i++) sum += bytes[i];
  put_octal(bytes + 148, 7, sum);
}

#endif
