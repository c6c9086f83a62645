/*
 * The other side of a copy, as an input says it: a list of messages, each with descriptors, all sent before
 * the role under test begins. And what lies beside the root of the role, which it must neither read nor
 * change.
 */
#ifndef FUZZ_COPY_HOSTILE_H
#define FUZZ_COPY_HOSTILE_H

#include "outside.h"
#include "send.h"

#include "../copy/channel.h"
#include "../copy/output.h"

#include <errno.h>
#include <limits.h>
#include <sys/socket.h>

static int top; /* the scratch directory: `outside` and `root` lie in it */

static inline void hostile_place(void) {
  char up[128];
  top = scratch_open();
  outside_make(top);
  must(mkdirat(top, "root", 0755) == 0 && mkdirat(top, "root/dst", 0755) == 0);
  /* what a path could lead out by, where the copy goes and above */
  snprintf(up, sizeof up, "%s/outside", scratch_path);
  must(symlinkat(up, top, "root/up") == 0 && symlinkat("../../outside", top, "root/dst/up") == 0);
  must(symlinkat("../../outside/secret", top, "root/dst/secret") == 0 &&
       symlinkat("loop", top, "root/dst/loop") == 0);
  must(mkfifoat(top, "root/dst/fifo", 0644) == 0 && mkdirat(top, "root/dst/dir", 0755) == 0);
}

/*
 * A step is a byte (its low half: the type; 15: bytes as they are; its high half: descriptors, and whether
 * the size is large), then of a message two bytes mode, four bytes size, a name and a payload, each with its
 * length in a byte.
 */
static inline void hostile_say(struct input *input, int socket, int fd) {
  static const mode_t kinds[] = {S_IFREG, S_IFDIR, S_IFLNK, S_IFCHR, S_IFIFO, 0};
  unsigned char message[sizeof(struct copy_header) + 512];
  const int fds[3] = {fd, fd, fd};
  uint8_t kind = input_byte(input);
  size_t name_length, payload_length;
  if ((kind & 15) == 15) {
    const uint8_t *piece = input_take(input, input_byte(input), &name_length);
    if (name_length > 0) (void)!send_with(socket, piece, name_length, fds, kind >> 6);
    return;
  }
  uint32_t mode = input_number(input, 2);
  struct copy_header header = {
      .type = kind & 15, .mode = (mode & 07777) | kinds[(mode >> 12) % 6], .size = input_number(input, 4)};
  if (header.type >= COPY_OPENED) header.mode = mode; /* an errno there */
  if (kind & 16) header.size <<= 32;
  const uint8_t *name = input_take(input, input_byte(input), &name_length);
  const uint8_t *payload = input_take(input, input_byte(input), &payload_length);
  header.name_length = (uint16_t)name_length;
  header.payload_length = (uint32_t)payload_length;
  memcpy(message, &header, sizeof header);
  memcpy(message + sizeof header, name, name_length);
  memcpy(message + sizeof header + name_length, payload, payload_length);
  (void)!send_with(socket, message, sizeof header + name_length + payload_length, fds, kind >> 6);
}

/* As output.c makes them; what only begins so may be a name of the other side's. */
static inline bool is_temporary(const char *name) {
  if (strncmp(name, OUTPUT_PREFIX, sizeof OUTPUT_PREFIX - 1) != 0) return false;
  name += sizeof OUTPUT_PREFIX - 1;
  return strlen(name) == 16 && strspn(name, "0123456789abcdef") == 16;
}

/*
 * What a role has made: nothing with a temporary name, nothing it cannot bring, and no mode beyond the mask.
 */
static inline void check_made(const struct found *found, const void *rule) {
  const mode_t mode = found->facts.st_mode, *mask = rule;
  must(!is_temporary(found->name));
  if (S_ISFIFO(mode)) must(strcmp(found->name, "fifo") == 0);
  else must(S_ISREG(mode) || S_ISDIR(mode) || S_ISLNK(mode));
  if (!S_ISLNK(mode)) must((mode & 07777 & ~*mask) == 0);
}

#endif
