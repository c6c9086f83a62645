/*
 * What the two roles of the copy helper say to each other, over one SOCK_STREAM socket.
 *
 * The role that has the source is the sender, the other the receiver. Small files travel inside their
 * message, and the sender waits for no answer, so both work at the same time and a tree of small files costs
 * no round trips. Of a larger file one descriptor crosses, always from inside to outside, and the outside
 * role moves the bytes: nothing that was opened on the host is ever in the container.
 *
 *   sender                       receiver
 *     | ROOT ---------------------->|          what the source is
 *     | <------------------- READY  |          the destination is open; its identity
 *     | ENTER FILE LINK ... ------->|
 *     | LARGE + fd ---------------->|          out of the container: the source, open for reading
 *     |                             |
 *     | LARGE --------------------->|          into the container
 *     | <------------- OPENED + fd  |          the new file, open for writing
 *     | CLOSE --------------------->|          it is complete, or is not to be
 *     |                             |
 *     | END ----------------------->|          the sender's first failure, if any
 *     | <-------------------- DONE  |          the receiver's; also instead of READY, and at any time when
 *     |                             |          nothing more can be written
 *
 * Each message is a header, the name, the payload. A name is one component of a path. Neither role trusts
 * what the other one says: see channel.c for lengths and descriptors, receiver.c for names, types, sizes and
 * modes.
 */
#ifndef COPY_PROTOCOL_H
#define COPY_PROTOCOL_H

#include <stdint.h>

#define COPY_NAME_MAX 255
#define COPY_INLINE_MAX 65536 /* largest payload; files up to here travel inside their message */
#define COPY_LINK_MAX 4095
#define COPY_DEPTH_MAX 100000 /* directories inside directories: what bounds the memory of both roles */

enum copy_type {
  /* mode: of the source, with its type; size: enum copy_root; name: the source's own, empty for contents */
  COPY_ROOT = 1,
  COPY_ENTER, /* mode, name: what follows until LEAVE lies in this directory */
  COPY_LEAVE,
  COPY_FILE,  /* mode, name; payload: the content */
  COPY_LINK,  /* name; payload: the target */
  COPY_LARGE, /* mode, name; size: how many bytes at most */
  /* mode: 0, or the errno with which the receiver could not make the file, which then has no CLOSE */
  COPY_OPENED,
  COPY_CLOSE, /* mode: 0, or an errno; the file is dropped then. size: 1 when it was writing that failed */
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
