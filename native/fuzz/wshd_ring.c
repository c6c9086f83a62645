/*
 * The ring of a job's latest output against a buffer without an end: the first byte of each step says what is
 * done.
 */
#include "fuzz.h"

#include "../wshd/ring.h"
#include "wshd_protocol.h"

#define STREAM_MAX ((size_t)1 << 20)

static unsigned char stream[STREAM_MAX];

static void check(const struct ring *ring, size_t written) {
  static unsigned char seen[WSHD_RING_BYTES];
  must(ring->position + ring->length == written && ring->length <= WSHD_RING_BYTES &&
       ring->dropped <= written);
  must(ring_peek(ring, 0, seen, sizeof seen) == ring->length &&
       memcmp(seen, stream + ring->position, ring->length) == 0);
  must(ring_peek(ring, ring->length, seen, sizeof seen) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct input input = {.at = data, .left = size};
  struct ring ring = {0};
  size_t written = 0;
  if (stream[1] == 0)
    for (size_t i = 0; i < STREAM_MAX; i++) stream[i] = (unsigned char)(i * 131 + (i >> 8) + 1);
  uint64_t taken = 0; /* up to here a reader has it */
  while (input.left > 0) {
    uint8_t step = input_byte(&input);
    if (step % 4 == 0) {
      ring_clear(&ring);
    } else if (step % 4 == 1) {
      uint64_t position = input_number(&input, 3);
      if (position > written) position = written;
      /* hand-overs go forward */
      if (position < taken) continue;
      uint64_t lost = position < ring.position ? ring.position - position : 0;
      ring_take(&ring, position);
      taken = position;
      must(ring.dropped == lost);
    } else {
      size_t length = input_number(&input, step % 4 == 2 ? 1 : 3) % (WSHD_RING_BYTES * 2 + 3);
      if (length > STREAM_MAX - written) break;
      ring_append(&ring, stream + written, length);
      written += length;
    }
    check(&ring, written);
  }
  ring_clear(&ring);
  return 0;
}
