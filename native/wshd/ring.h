/*
 * The latest WSHD_RING_BYTES of a stream. Memory is taken with the first byte and given back by ring_clear().
 */
#ifndef WSHD_RING_H
#define WSHD_RING_H

#include <stddef.h>
#include <stdint.h>

struct ring {
  unsigned char *bytes; /* WSHD_RING_BYTES, or NULL */
  size_t start, length;
  uint64_t position; /* of the first byte, counting all that was ever appended */
  uint64_t dropped;  /* bytes overwritten since a daemon took what there was */
};

/* Without memory the bytes count as dropped. */
void ring_append(struct ring *ring, const unsigned char *bytes, size_t length);
/* Copies up to `size` bytes from `offset`; answers how many. */
size_t ring_peek(const struct ring *ring, size_t offset, unsigned char *into, size_t size);
/* Somebody has what lies before `position`: it is forgotten, and `dropped` counts from there on. */
void ring_take(struct ring *ring, uint64_t position);
/* Gives the memory back; positions go on. */
void ring_clear(struct ring *ring);

#endif
