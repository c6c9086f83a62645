/*
 * Work on files inside a container, for clients of the daemon: a third role of the copy helper, alone on its
 * side of a SOCK_STREAM socket. It runs in the container as one of its users, opens what is there with that
 * user's rights, and says and takes frames; the daemon opens nothing.
 *
 *   daemon                       helper
 *     | <------------- ENTRY ...  |          stat, list
 *     | <-------------- DATA ...  |          read, read-tar
 *     | <------------ CHANGE ...  |          watch: the first one, of no kind, says that it stands
 *     | DATA ... END -----------> |          write, write-tar; an end of the socket without END drops what
 *     |                           |          is not complete
 *     | <---------- END or ERROR  |          the last frame in any case
 */
#ifndef COPY_FILES_H
#define COPY_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "place.h"

#define FILES_FRAME_MAX 65536 /* largest payload */

enum files_frame {
  FILES_DATA = 1,
  FILES_ENTRY,  /* struct files_entry, name, link target */
  FILES_CHANGE, /* u8 enum files_change, name */
  FILES_END,
  FILES_ERROR, /* i32 errno, operation, NUL, path */
};

enum files_change {
  FILES_WATCHING,
  FILES_CREATED,
  FILES_MODIFIED,
  FILES_WRITTEN,
  FILES_ATTRIBUTES,
  FILES_REMOVED,
  FILES_OVERFLOW,
};

struct files_entry {
  uint32_t mode, uid, gid, reserved; /* mode with its type */
  uint64_t size;
  int64_t modified_ns;
  uint16_t name_length, target_length;
  uint32_t reserved2;
};

/* files_stream.c: frames on one socket, with a buffer each way. */
struct files_stream {
  int socket;
  bool at_end;                /* END was read */
  bool is_broken;             /* the other side has gone, or speaks nonsense */
  size_t in_start, in_length; /* of the payload in `in` */
  size_t out_length;          /* of the data in `out` */
  unsigned char in[FILES_FRAME_MAX];
  unsigned char out[8 + FILES_FRAME_MAX];
};
/* Sends what was put and then a frame. False: nobody is there any more. */
bool files_send(struct files_stream *stream, enum files_frame type, const void *payload, size_t length);
/* Collects bytes of DATA frames. */
bool files_put(struct files_stream *stream, const void *bytes, size_t length);
bool files_flush(struct files_stream *stream);
/* Up to `size` bytes of the other side's DATA; 0 at END; -1 with EPIPE or EPROTO. */
ssize_t files_take(struct files_stream *stream, void *into, size_t size);
/*
 * After a failure: takes what is still on its way until the other side has read it and closes. Who closes
 * first would have its words lost.
 */
void files_drain(struct files_stream *stream);
/* The last frame of a failure, with errno. Answers 1. */
int files_fail(struct files_stream *stream, const char *operation, const char *path);

/* tar_out.c, tar_in.c, files_watch.c: each sends its failure; answer 0 when only END is missing. */
int tar_send(struct files_stream *stream, const struct place *place, const char *path);
int tar_receive(struct files_stream *stream, const struct place *place, const char *path);
int files_watch(struct files_stream *stream, const struct place *place, const char *path);

/* files.c */
int files_main(int argc, char **argv);

#endif
