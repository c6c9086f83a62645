/*
 * Pieces of one size out of a pipe into a socket, each between a head and a tail. The bytes themselves are
 * not touched.
 */
#include "warden_native.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

/* Heads and tails together that are put side by side. */
#define JOINT_MAX 256

struct piece {
  const unsigned char *head, *tail;
  uint32_t head_size, size, tail_size;
};

static int64_t again(int64_t count) { return count < 0 && errno == EINTR ? 0 : count; }

static int64_t send_part(int socket, const unsigned char *bytes, uint32_t size, int flags) {
  return again(send(socket, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL | flags));
}

/*
 * The next step of a piece of which `sent` bytes are on their way. Answers how many more, or -1 with errno.
 */
static int64_t send_more(int pipe, int socket, const struct piece *piece, uint32_t sent) {
  if (sent < piece->head_size)
    return send_part(socket, piece->head + sent, piece->head_size - sent, MSG_MORE);
  sent -= piece->head_size;
  if (sent >= piece->size)
    return send_part(socket, piece->tail + (sent - piece->size), piece->tail_size - (sent - piece->size), 0);
  int64_t count = splice(pipe, NULL, socket, NULL, piece->size - sent, SPLICE_F_NONBLOCK | SPLICE_F_MORE);
  int available = 0;
  bool is_empty = count == 0 ||
                  (count < 0 && errno == EAGAIN && ioctl(pipe, FIONREAD, &available) == 0 && available == 0);
  if (is_empty) errno = ENODATA; /* somebody else has taken what was in the pipe: the job itself can */
  return is_empty ? -1 : again(count);
}

/*
 * The end of a piece and the beginning of the next one, by one call: each wakes whoever reads. Answers as
 * send_more().
 */
static int64_t send_between(int socket, const struct piece *piece) {
  unsigned char bytes[JOINT_MAX];
  memcpy(bytes, piece->tail, piece->tail_size);
  memcpy(bytes + piece->tail_size, piece->head, piece->head_size);
  return send_part(socket, bytes, piece->tail_size + piece->head_size, MSG_MORE);
}

/*
 * Whether the pipe holds a piece: 1, 0, or -1 with errno. Asked each time: the job itself may take out again
 * what it has printed.
 */
static int holds(int pipe, uint32_t size) {
  int available = 0;
  return ioctl(pipe, FIONREAD, &available) < 0 ? -1 : (uint32_t)available >= size;
}

int warden_move_pieces(int pipe, int socket, const void *head, uint32_t head_size, uint32_t size,
                       const void *tail, uint32_t tail_size, uint32_t most, uint32_t progress[2]) {
  const struct piece piece = {
      .head = head, .tail = tail, .head_size = head_size, .size = size, .tail_size = tail_size};
  const uint32_t whole = head_size + size + tail_size;
  const bool can_join = (uint64_t)head_size + tail_size <= JOINT_MAX;
  uint32_t *sent = &progress[0], *moved = &progress[1];
  *moved = 0;
  if (head_size == 0 || size == 0 || tail_size == 0) return -EINVAL;
  while (*moved < most) {
    int is_there = *sent == 0 ? holds(pipe, size) : 1;
    if (is_there <= 0) return is_there < 0 ? -errno : 0;
    bool joins = can_join && *sent == head_size + size && *moved + 1 < most && holds(pipe, size) == 1;
    int64_t count = joins ? send_between(socket, &piece) : send_more(pipe, socket, &piece, *sent);
    if (count < 0) return -errno;
    *sent += (uint32_t)count;
    if (*sent < whole) continue;
    *sent -= whole; /* the next one may have begun */
    *moved += 1;
  }
  return 0;
}
