#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "output.h"

#define WATCHED                                                                                              \
  (IN_CREATE | IN_MOVED_TO | IN_MODIFY | IN_CLOSE_WRITE | IN_ATTRIB | IN_DELETE | IN_MOVED_FROM |            \
   IN_DELETE_SELF | IN_MOVE_SELF)

static enum files_change kind_of(uint32_t mask) {
  if (mask & IN_Q_OVERFLOW) return FILES_OVERFLOW;
  if (mask & (IN_CREATE | IN_MOVED_TO)) return FILES_CREATED;
  if (mask & (IN_DELETE | IN_MOVED_FROM | IN_DELETE_SELF | IN_MOVE_SELF)) return FILES_REMOVED;
  if (mask & IN_CLOSE_WRITE) return FILES_WRITTEN;
  return mask & IN_MODIFY ? FILES_MODIFIED : FILES_ATTRIBUTES;
}

static bool send_change(struct files_stream *stream, enum files_change kind, const char *name) {
  unsigned char payload[1 + 256];
  size_t length = strnlen(name, 255);
  payload[0] = (unsigned char)kind;
  memcpy(payload + 1, name, length);
  return files_send(stream, FILES_CHANGE, payload, 1 + length);
}

/*
 * Whether it is about a name that nobody has given: that of a file on its way to its own, which ours have for
 * a moment when they replace one, or the kernel's word for a file without any (O_TMPFILE): "#", its inode.
 * That may be the name of a file, too, which is there then.
 */
static bool is_nameless(const struct place *place, const char *path, uint32_t mask, const char *name) {
  char whole[PATH_MAX + NAME_MAX + 2];
  if (strncmp(name, OUTPUT_PREFIX, strlen(OUTPUT_PREFIX)) == 0) return true;
  if ((mask & (IN_MODIFY | IN_CLOSE_WRITE | IN_ATTRIB)) == 0 || name[0] != '#') return false;
  if (name[1] == '\0' || name[1 + strspn(name + 1, "0123456789")] != '\0') return false;
  snprintf(whole, sizeof whole, "%s/%s", path, name);
  int fd = place_open(place, whole, O_PATH | O_NOFOLLOW);
  if (fd >= 0) close(fd);
  return fd < 0 && errno == ENOENT;
}

/* 1: goes on, 0: the watched thing is gone, -1: nobody listens. */
static int tell(struct files_stream *stream, const struct place *place, const char *path, const char *events,
                size_t length) {
  for (size_t at = 0; at < length;) {
    struct inotify_event event;
    memcpy(&event, events + at, sizeof event);
    const char *name = event.len > 0 ? events + at + sizeof event : "";
    at += sizeof event + event.len;
    if (event.mask & IN_IGNORED) return 0;
    if (is_nameless(place, path, event.mask, name)) continue;
    if (!send_change(stream, kind_of(event.mask), name)) return -1;
    if (event.mask & IN_MOVE_SELF) return 0; /* under its new name it is somebody else's */
  }
  return 1;
}

int files_watch(struct files_stream *stream, const struct place *place, const char *path) {
  char events[16384], link[64];
  int fd = place_open(place, path, O_PATH), watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
  if (fd < 0 || watch < 0) return files_fail(stream, "watch", path);
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  if (inotify_add_watch(watch, link, WATCHED) < 0) return files_fail(stream, "watch", path);
  close(fd); /* it would keep what is watched from going */
  if (!send_change(stream, FILES_WATCHING, "")) return 1;
  for (;;) {
    struct pollfd ready[2] = {{.fd = stream->socket, .events = POLLRDHUP}, {.fd = watch, .events = POLLIN}};
    if (poll(ready, 2, -1) < 0 && errno != EINTR) return files_fail(stream, "watch", path);
    if (ready[0].revents != 0) return 1;
    if (ready[1].revents == 0) continue;
    ssize_t got = read(watch, events, sizeof events);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    if (got < 0) return files_fail(stream, "watch", path);
    int goes_on = tell(stream, place, path, events, (size_t)got);
    if (goes_on <= 0) return goes_on == 0 ? 0 : 1;
  }
}
