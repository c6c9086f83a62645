#include "levels.h"

#include "protocol.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void put_path(struct levels *levels, const char *text, size_t length) {
  size_t room =
      levels->path_length < sizeof levels->path - 1 ? sizeof levels->path - 1 - levels->path_length : 0;
  if (room > 0) memcpy(levels->path + levels->path_length, text, length < room ? length : room);
  levels->path_length += length;
}

/* Whether a name is to be set off from the path before it: not at the root, nor where there is none. */
static bool needs_slash(const struct levels *levels) {
  size_t length = levels->path_length;
  return length > 0 && (length >= sizeof levels->path || levels->path[length - 1] != '/');
}

void levels_init(struct levels *levels, const char *path) {
  levels->list = NULL;
  levels->depth = levels->room = levels->path_length = 0;
  size_t length = strlen(path);
  while (length > 1 && path[length - 1] == '/') length--;
  put_path(levels, path, length);
}

void levels_to_parent(struct levels *levels) {
  size_t length = levels->path_length < sizeof levels->path ? levels->path_length : sizeof levels->path - 1;
  while (length > 0 && levels->path[length - 1] != '/') length--;
  while (length > 1 && levels->path[length - 1] == '/') length--;
  levels->path_length = length;
}

static void close_level(struct level *level) {
  if (level->fd >= 0) close(level->fd);
  free(level->entries);
  level->fd = -1;
  level->entries = NULL;
  level->at = level->end = 0;
}

void levels_free(struct levels *levels) {
  for (size_t i = 0; i < levels->depth; i++) close_level(&levels->list[i]);
  free(levels->list);
  levels->list = NULL;
  levels->depth = levels->room = 0;
}

static int grow(struct levels *levels) {
  size_t room = levels->room == 0 ? 64 : levels->room * 2;
  struct level *list = realloc(levels->list, room * sizeof *list);
  if (list == NULL) return -1;
  levels->list = list;
  levels->room = room;
  return 0;
}

struct level *levels_push(struct levels *levels, int fd, const char *name, const struct stat *facts) {
  if (levels->depth == COPY_DEPTH_MAX) errno = ELOOP;
  if (levels->depth == COPY_DEPTH_MAX || (levels->depth == levels->room && grow(levels) != 0)) {
    int saved = errno;
    close(fd);
    errno = saved;
    return NULL;
  }
  if (levels->depth >= LEVELS_OPEN) close_level(&levels->list[levels->depth - LEVELS_OPEN]);
  struct level *level = &levels->list[levels->depth++];
  *level = (struct level){.fd = fd,
                          .device = facts->st_dev,
                          .inode = facts->st_ino,
                          .is_named = name[0] != '\0',
                          .before = levels->path_length};
  if (level->is_named) {
    if (needs_slash(levels)) put_path(levels, "/", 1);
    put_path(levels, name, strlen(name));
  }
  return level;
}

struct level *levels_top(struct levels *levels) {
  return &levels->list[levels->depth - 1];
}

static int reopen(struct level *level, int below) {
  struct stat facts;
  int fd = openat(below, "..", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return -1;
  if (fstat(fd, &facts) != 0 || facts.st_dev != level->device || facts.st_ino != level->inode) {
    close(fd);
    errno = ESTALE;
    return -1;
  }
  level->fd = fd;
  return 0;
}

int levels_pop(struct levels *levels) {
  struct level *top = levels_top(levels);
  int result = 0;
  if (levels->depth > 1 && top[-1].fd < 0) result = reopen(&top[-1], top->fd);
  int saved = errno;
  levels->path_length = top->before;
  close_level(top);
  levels->depth--;
  errno = saved;
  return result;
}

const char *levels_path(struct levels *levels) {
  size_t length = levels->path_length < sizeof levels->path ? levels->path_length : sizeof levels->path - 1;
  levels->path[length] = '\0';
  return levels->path;
}
