/*
 * What the two roles of the copy helper say to each other, over one SOCK_STREAM socket and one pipe.
 *
 * The role that has the source is the sender, the other the receiver. The sender never waits for an answer but one, so both work at the
 * same time and a tree of small files costs no round trips. Small files travel inside their message. The bytes of larger ones go through
 * the pipe, by splice(2), in the order in which DATA messages announce them.
 *
 *   outside                      inside
 *     | 'P' + one end of the pipe ->|          the only descriptor that ever crosses; none crosses outwards
 *
 *   sender                       receiver
 *     | ROOT ---------------------->|          what the source is
 *     | <------------------- READY  |          the destination is open; its identity
 *     | ENTER FILE LINK LARGE ... ->|
 *     | END ----------------------->|          the sender's first failure, if any
 *     | <-------------------- DONE  |          the receiver's; also instead of READY, and at any time when nothing more can be written
 *
 * Each message is a header, the name, the payload. A name is one component of a path. Neither role trusts what the other one says: see
 * channel.c for lengths and receiver.c for names, types, sizes and modes.
 */
#ifndef COPY_PROTOCOL_H
#define COPY_PROTOCOL_H

#include <stdint.h>

#define COPY_NAME_MAX 255
#define COPY_INLINE_MAX 65536 /* largest payload; files up to here travel inside their message */
#define COPY_LINK_MAX 4095
#define COPY_DEPTH_MAX 100000 /* directories inside directories: what bounds the memory of both roles */

enum copy_type {
  COPY_ROOT = 1, /* mode: of the source, with its type; size: enum copy_root; name: the source's own, empty for contents */
  COPY_ENTER,    /* mode, name: what follows until LEAVE lies in this directory */
  COPY_LEAVE,
  COPY_FILE,  /* mode, name; payload: the content */
  COPY_LINK,  /* name; payload: the target */
  COPY_LARGE, /* mode, name, size in `size`: DATA and HOLE follow, then CLOSE */
  COPY_DATA,  /* size: bytes that are in the pipe */
  COPY_HOLE,  /* size: bytes that nobody has written */
  COPY_CLOSE, /* mode: 0, or the errno with which reading ended; the file is dropped then */
  COPY_END,   /* mode: errno or 0; size: how many failures; name: operation; payload: path */
  COPY_READY, /* payload: u64 device, u64 inode of the destination directory */
  COPY_DONE,  /* as END */
};

/* Flags of ROOT. */
enum copy_root {
  COPY_CONTENTS = 1, /* the source is the directory's content, not the directory */
  COPY_EMPTY = 2,    /* the directory has no entry */
};

struct copy_header {
  uint16_t type, name_length;
  uint32_t mode;
  uint64_t size;
  uint32_t payload_length, reserved;
};

#endif
