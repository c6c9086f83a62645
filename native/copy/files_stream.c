#include "files.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "frames are little-endian");

static bool wait_for(int fd, short events) {
  struct pollfd ready = {.fd = fd, .events = events};
  return poll(&ready, 1, -1) >= 0 || errno == EINTR;
}

static bool write_all(struct files_stream *stream, const unsigned char *bytes, size_t length) {
  while (length > 0 && !stream->is_broken) {
    ssize_t written = send(stream->socket, bytes, length, MSG_NOSIGNAL);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0 && errno == EAGAIN && wait_for(stream->socket, POLLOUT)) continue;
    if (written < 0) stream->is_broken = true;
    else {
      bytes += written;
      length -= (size_t)written;
    }
  }
  return !stream->is_broken;
}

static void put_header(unsigned char *into, uint32_t type, uint32_t length) {
  memcpy(into, &type, 4);
  memcpy(into + 4, &length, 4);
}

bool files_flush(struct files_stream *stream) {
  if (stream->out_length == 0) return !stream->is_broken;
  put_header(stream->out, FILES_DATA, (uint32_t)stream->out_length);
  bool sent = write_all(stream, stream->out, 8 + stream->out_length);
  stream->out_length = 0;
  return sent;
}

bool files_put(struct files_stream *stream, const void *bytes, size_t length) {
  const unsigned char *from = bytes;
  while (length > 0) {
    size_t room = FILES_FRAME_MAX - stream->out_length, part = length < room ? length : room;
    memcpy(stream->out + 8 + stream->out_length, from, part);
    stream->out_length += part;
    from += part;
    length -= part;
    if (stream->out_length == FILES_FRAME_MAX && !files_flush(stream)) return false;
  }
  return !stream->is_broken;
}

bool files_send(struct files_stream *stream, enum files_frame type, const void *payload, size_t length) {
  unsigned char header[8];
  put_header(header, type, (uint32_t)length);
  return files_flush(stream) && write_all(stream, header, sizeof header) &&
         write_all(stream, payload, length);
}

static bool read_all(struct files_stream *stream, unsigned char *into, size_t length) {
  while (length > 0 && !stream->is_broken) {
    ssize_t got = recv(stream->socket, into, length, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN && wait_for(stream->socket, POLLIN)) continue;
    if (got <= 0) stream->is_broken = true;
    else {
      into += got;
      length -= (size_t)got;
    }
  }
  return !stream->is_broken;
}

ssize_t files_take(struct files_stream *stream, void *into, size_t size) {
  while (stream->in_length == 0 && !stream->at_end) {
    unsigned char header[8];
    uint32_t type, length;
    errno = EPIPE;
    if (!read_all(stream, header, sizeof header)) return -1;
    memcpy(&type, header, 4);
    memcpy(&length, header + 4, 4);
    errno = EPROTO;
    if ((type != FILES_DATA && type != FILES_END) || length > sizeof stream->in ||
        (type == FILES_END && length != 0)) {
      stream->is_broken = true;
      return -1;
    }
    stream->at_end = type == FILES_END;
    errno = EPIPE;
    if (!read_all(stream, stream->in, length)) return -1;
    stream->in_start = 0;
    stream->in_length = length;
  }
  size_t part = stream->in_length < size ? stream->in_length : size;
  memcpy(into, stream->in + stream->in_start, part);
  stream->in_start += part;
  stream->in_length -= part;
  return (ssize_t)part;
}

void files_drain(struct files_stream *stream) {
  for (;;) {
    ssize_t got = recv(stream->socket, stream->in, sizeof stream->in, 0);
    if (got < 0 && (errno == EINTR || (errno == EAGAIN && wait_for(stream->socket, POLLIN)))) continue;
    if (got <= 0) return;
  }
}

int files_fail(struct files_stream *stream, const char *operation, const char *path) {
  static unsigned char payload[8192];
  int32_t number = errno;
  size_t operation_length = strlen(operation) + 1, path_length = strlen(path);
  if (operation_length > 64) operation_length = 64;
  if (path_length > 4096) path_length = 4096;
  memcpy(payload, &number, 4);
  memcpy(payload + 4, operation, operation_length);
  payload[4 + operation_length - 1] = '\0';
  memcpy(payload + 4 + operation_length, path, path_length);
  files_send(stream, FILES_ERROR, payload, 4 + operation_length + path_length);
  return 1;
}
