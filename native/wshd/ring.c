#include "ring.h"

#include "wshd_protocol.h"

#include <stdlib.h>
#include <string.h>

static void drop(struct ring *ring, size_t length) {
  ring->dropped += length;
  ring->position += length;
}

void ring_append(struct ring *ring, const unsigned char *bytes, size_t length) {
  if (length == 0) return;
  if (ring->bytes == NULL && (ring->bytes = malloc(WSHD_RING_BYTES)) == NULL) {
    drop(ring, length);
    return;
  }
  if (length > WSHD_RING_BYTES) {
    /* what is in the ring goes too, below: the order of the two does not matter for the sums */
    drop(ring, length - WSHD_RING_BYTES);
    bytes += length - WSHD_RING_BYTES;
    length = WSHD_RING_BYTES;
  }
  size_t room = WSHD_RING_BYTES - ring->length;
  if (length > room) {
    size_t lost = length - room;
    drop(ring, lost);
    ring->start = (ring->start + lost) % WSHD_RING_BYTES;
    ring->length -= lost;
  }
  size_t end = (ring->start + ring->length) % WSHD_RING_BYTES;
  size_t first = length < WSHD_RING_BYTES - end ? length : WSHD_RING_BYTES - end;
  memcpy(ring->bytes + end, bytes, first);
  memcpy(ring->bytes, bytes + first, length - first);
  ring->length += length;
}

size_t ring_peek(const struct ring *ring, size_t offset, unsigned char *into, size_t size) {
  if (offset >= ring->length) return 0;
  if (size > ring->length - offset) size = ring->length - offset;
  size_t from = (ring->start + offset) % WSHD_RING_BYTES;
  size_t first = size < WSHD_RING_BYTES - from ? size : WSHD_RING_BYTES - from;
  memcpy(into, ring->bytes + from, first);
  memcpy(into + first, ring->bytes, size - first);
  return size;
}

void ring_take(struct ring *ring, uint64_t position) {
  if (position < ring->position) {
    ring->dropped = ring->position - position; /* overwritten after it was read */
    return;
  }
  ring->dropped = 0;
  if (position >= ring->position + ring->length) {
    ring_clear(ring);
    return;
  }
  size_t taken = (size_t)(position - ring->position);
  ring->position = position;
  ring->start = (ring->start + taken) % WSHD_RING_BYTES;
  ring->length -= taken;
}

void ring_clear(struct ring *ring) {
  free(ring->bytes);
  *ring = (struct ring){.position = ring->position + ring->length, .dropped = ring->dropped};
}
