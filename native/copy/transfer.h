/*
 * The bytes of one large file, from descriptor to descriptor, without passing through this process where the
 * kernel can.
 */
#ifndef COPY_TRANSFER_H
#define COPY_TRANSFER_H

#include <stdbool.h>
#include <sys/types.h>

struct transfer_result {
  int error;       /* 0, or errno */
  bool is_writing; /* what failed */
};

/*
 * Copies at most `size` bytes and keeps holes. A file that has shrunk is copied as it is, one that grows as
 * far as `size`. Neither file offset of `in` nor what somebody else does to it matters: it may be shared with
 * somebody hostile.
 */
struct transfer_result transfer(int in, int out, off_t size);

/*
 * Whether a descriptor that came from the other role is one for a file's content: a regular file of a file
 * system that has files, not one whose files are switches of the kernel. False with errno EPROTO.
 */
bool transfer_accepts(int fd);

#endif
