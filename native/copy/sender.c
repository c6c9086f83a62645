#include "sender.h"

#include "levels.h"
#include "transfer.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BROKEN (-2) /* the channel: nothing more can be sent */

struct sender {
  struct channel *channel;
  struct failure *own;
  struct levels levels;
  dev_t target_device; /* of the destination directory, which must not be copied into itself */
  ino_t target_inode;
};

struct entry {
  uint64_t inode;
  int64_t next;
  uint16_t length;
  unsigned char type;
  char name[];
};

static void note(struct sender *sender, int error, const char *operation, const char *name) {
  failure_note(sender->own, error, operation, levels_path(&sender->levels), name);
}

static struct copy_header header_of(enum copy_type type, const char *name, uint32_t mode) {
  return (struct copy_header){.type = (uint16_t)type, .name_length = (uint16_t)strlen(name), .mode = mode};
}

static int put(struct sender *sender, const struct copy_header *header, const char *name,
               const void *payload) {
  return channel_send(sender->channel, header, name, payload) == 0 ? 0 : BROKEN;
}

/*
 * Reads at most `size` bytes, which the file had a moment ago. A file that grows is sent as far; one that has
 * shrunk, as it is now.
 */
static int send_small(struct sender *sender, int fd, const char *name, const struct stat *facts) {
  struct copy_header header = header_of(COPY_FILE, name, facts->st_mode);
  size_t size = (size_t)facts->st_size, length = 0;
  unsigned char *room = channel_reserve(sender->channel, header.name_length, size);
  if (room == NULL) return BROKEN;
  while (length < size) {
    ssize_t got = pread(fd, room + length, size - length, (off_t)length);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      note(sender, errno, "read", name);
      return 0;
    }
    if (got == 0) break;
    length += (size_t)got;
  }
  header.payload_length = (uint32_t)length;
  channel_commit(sender->channel, &header, name);
  return 0;
}

static int send_word(struct sender *sender, enum copy_type type, uint32_t mode, uint64_t size) {
  struct copy_header header = header_of(type, "", mode);
  header.size = size;
  return put(sender, &header, "", NULL);
}

/* Into the container: the receiver makes the file, and this role, on the host, fills it. */
static int fill_large(struct sender *sender, int fd, const char *name, off_t size) {
  struct message message;
  if (channel_flush(sender->channel) != 0 || channel_receive(sender->channel, &message) != 0) return BROKEN;
  if (message.type != COPY_OPENED) {
    errno = EPROTO;
    return BROKEN;
  }
  if (message.mode != 0) return 0; /* the receiver has noted why */
  int out = channel_take_fd(sender->channel);
  if (out < 0) return BROKEN;
  struct transfer_result result = transfer(fd, out, size);
  close(out);
  if (result.error != 0 && !result.is_writing) note(sender, result.error, "read", name);
  return send_word(sender, COPY_CLOSE, (uint32_t)result.error, result.is_writing ? 1 : 0);
}

static int send_large(struct sender *sender, int fd, const char *name, const struct stat *facts) {
  struct copy_header header = header_of(COPY_LARGE, name, facts->st_mode);
  header.size = (uint64_t)facts->st_size;
  if (!sender->channel->takes_descriptors)
    return channel_send_fd(sender->channel, &header, name, fd) == 0 ? 0 : BROKEN;
  int result = put(sender, &header, name, NULL);
  return result != 0 ? result : fill_large(sender, fd, name, facts->st_size);
}

static int send_file(struct sender *sender, int directory, const char *name, const char *as) {
  struct stat facts;
  /* not blocking: something else may stand there by now */
  int fd = openat(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
  if (fd < 0) {
    note(sender, errno, "open", name);
    return 0;
  }
  int result = 0;
  if (fstat(fd, &facts) != 0) note(sender, errno, "stat", name);
  else if (!S_ISREG(facts.st_mode)) result = 0;
  else if (facts.st_size <= COPY_INLINE_MAX) result = send_small(sender, fd, as, &facts);
  else result = send_large(sender, fd, as, &facts);
  close(fd);
  return result;
}

static int send_link(struct sender *sender, int directory, const char *name, const char *as) {
  char target[COPY_LINK_MAX + 1];
  ssize_t length = readlinkat(directory, name, target, sizeof target);
  if (length < 0 || length > COPY_LINK_MAX) {
    note(sender, length < 0 ? errno : ENAMETOOLONG, "readlink", name);
    return 0;
  }
  struct copy_header header = header_of(COPY_LINK, as, S_IFLNK | 0777);
  header.payload_length = (uint32_t)length;
  return put(sender, &header, as, target);
}

static bool is_target(const struct sender *sender, const struct stat *facts) {
  return facts->st_dev == sender->target_device && facts->st_ino == sender->target_inode;
}

/* A directory that cannot be entered is sent without its content. */
static int send_closed_directory(struct sender *sender, int directory, const char *name, int error) {
  struct stat facts;
  note(sender, error, "open directory", name);
  if (fstatat(directory, name, &facts, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISDIR(facts.st_mode)) return 0;
  struct copy_header header = header_of(COPY_ENTER, name, facts.st_mode);
  int result = put(sender, &header, name, NULL);
  return result != 0 ? result : send_word(sender, COPY_LEAVE, 0, 0);
}

static int enter(struct sender *sender, int directory, const char *name) {
  struct stat facts;
  int fd = openat(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return send_closed_directory(sender, directory, name, errno);
  if (fstat(fd, &facts) != 0 || is_target(sender, &facts)) {
    note(sender, ELOOP, "copy the destination into itself", name);
    close(fd);
    return 0;
  }
  if (levels_push(&sender->levels, fd, name, &facts) == NULL) {
    note(sender, errno, "enter", name);
    return 0;
  }
  struct copy_header header = header_of(COPY_ENTER, name, facts.st_mode);
  return put(sender, &header, name, NULL);
}

static int send_entry(struct sender *sender, int directory, const char *name, unsigned char type) {
  struct stat facts;
  if (type == DT_UNKNOWN) {
    if (fstatat(directory, name, &facts, AT_SYMLINK_NOFOLLOW) != 0) {
      note(sender, errno, "stat", name);
      return 0;
    }
    type = (unsigned char)IFTODT(facts.st_mode);
  }
  if (type == DT_DIR) return enter(sender, directory, name);
  if (type == DT_REG) return send_file(sender, directory, name, name);
  if (type == DT_LNK) return send_link(sender, directory, name, name);
  return 0; /* devices, pipes and sockets stay where they are */
}

/* The next entry but `.` and `..`; NULL at the end or after a failure, which is noted. */
static const struct entry *next_entry(struct sender *sender, struct level *level) {
  for (;;) {
    if (level->at >= level->end) {
      if (level->entries == NULL && (level->entries = malloc(LEVEL_BUFFER)) == NULL) {
        note(sender, errno, "read directory", "");
        return NULL;
      }
      /*
       * another process, or an earlier read through a descriptor that was closed since, has left off
       * elsewhere
       */
      if (level->position != 0 && level->end == 0 && lseek(level->fd, level->position, SEEK_SET) < 0) {
        note(sender, errno, "read directory", "");
        return NULL;
      }
      long got = syscall(SYS_getdents64, level->fd, level->entries, LEVEL_BUFFER);
      if (got < 0) note(sender, errno, "read directory", "");
      if (got <= 0) return NULL;
      level->at = 0;
      level->end = (uint32_t)got;
    }
    struct entry head;
    const char *at = level->entries + level->at;
    memcpy(&head, at, sizeof head);
    level->at += head.length;
    level->position = head.next;
    const struct entry *entry = (const struct entry *)(const void *)at;
    if (strcmp(entry->name, ".") != 0 && strcmp(entry->name, "..") != 0) return entry;
  }
}

/* Everything below the level that is on top now. */
static int walk(struct sender *sender) {
  size_t base = sender->levels.depth;
  while (sender->levels.depth >= base) {
    struct level *level = levels_top(&sender->levels);
    const struct entry *entry = next_entry(sender, level);
    int result = 0;
    if (entry != NULL) {
      result = send_entry(sender, level->fd, entry->name, entry->type);
    } else {
      bool is_named = level->is_named;
      if (levels_pop(&sender->levels) != 0) {
        note(sender, errno, "return to directory", "");
        return 0; /* nothing more can be found: what has been sent is ended by END */
      }
      if (is_named) result = send_word(sender, COPY_LEAVE, 0, 0);
    }
    if (result != 0) return result;
  }
  return 0;
}

/* What the source is, and the receiver's answer. 1: go on. */
static int introduce(struct sender *sender, const char *name, uint32_t mode, uint64_t flags,
                     struct failure *peer) {
  struct copy_header header = header_of(COPY_ROOT, name, mode);
  struct message message;
  uint64_t identity[2];
  header.size = flags;
  if (put(sender, &header, name, NULL) != 0 || channel_flush(sender->channel) != 0 ||
      channel_receive(sender->channel, &message) != 0)
    return BROKEN;
  if (message.type == COPY_DONE) {
    failure_of_message(&message, peer);
    return 0;
  }
  if (message.type != COPY_READY || message.payload_length != sizeof identity) {
    errno = EPROTO;
    return BROKEN;
  }
  memcpy(identity, message.payload, sizeof identity);
  sender->target_device = (dev_t)identity[0];
  sender->target_inode = (ino_t)identity[1];
  return 1;
}

static int send_directory(struct sender *sender, int fd, const char *name, struct failure *peer) {
  struct stat facts;
  if (fstat(fd, &facts) != 0) {
    note(sender, errno, "stat", "");
    close(fd);
    return 1;
  }
  struct level *level = levels_push(&sender->levels, fd, "", &facts);
  if (level == NULL) {
    note(sender, errno, "open directory", "");
    return 1;
  }
  uint64_t before = sender->own->count;
  bool is_empty = next_entry(sender, level) == NULL;
  if (sender->own->count != before) return 1; /* not even the first could be read */
  if (!is_empty) {
    level->at = 0; /* looked at, not taken: it is in the first part that was read */
    level->position = 0;
  }
  uint64_t flags = (name[0] == '\0' ? COPY_CONTENTS : 0u) | (is_empty ? COPY_EMPTY : 0u);
  int result = introduce(sender, name, facts.st_mode, flags, peer);
  if (result != 1) return result;
  if (is_empty) return 1;
  if (is_target(sender, &facts)) {
    /* its content is there already; the directory itself would be copied into itself */
    if (name[0] != '\0') note(sender, ELOOP, "copy the destination into itself", "");
    return 1;
  }
  return walk(sender) == 0 ? 1 : BROKEN;
}

static int send_named(struct sender *sender, int directory, const char *name, struct failure *peer) {
  struct stat facts;
  if (fstatat(directory, name, &facts, AT_SYMLINK_NOFOLLOW) != 0) {
    failure_note(sender->own, errno, "open source", levels_path(&sender->levels), "");
    return 1;
  }
  if (S_ISDIR(facts.st_mode)) {
    int fd = openat(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd >= 0) return send_directory(sender, fd, name, peer);
    note(sender, errno, "open directory", "");
    return 1;
  }
  int result = introduce(sender, name, facts.st_mode, 0, peer);
  if (result != 1) return result;
  levels_to_parent(&sender->levels); /* `name` is in the source's path: a failure would say it twice */
  if (S_ISREG(facts.st_mode)) result = send_file(sender, directory, name, name);
  else if (S_ISLNK(facts.st_mode)) result = send_link(sender, directory, name, name);
  else result = 0;
  return result == 0 ? 1 : BROKEN;
}

/* Whether `path` names the content of a directory: it ends with a slash, or with a component `.` or `..`. */
static bool names_contents(const char *path) {
  const char *slash = strrchr(path, '/'), *last = slash == NULL ? path : slash + 1;
  return last[0] == '\0' || strcmp(last, ".") == 0 || strcmp(last, "..") == 0;
}

/* 1: END may be sent. 0: the receiver has ended. */
static int send_source(struct sender *sender, const struct place *place, const char *path,
                       struct failure *peer) {
  char name[COPY_NAME_MAX + 1];
  bool contents = names_contents(path);
  int fd = contents ? place_open(place, path, O_RDONLY | O_DIRECTORY | O_NONBLOCK)
                    : place_open_parent(place, path, name);
  if (fd < 0) {
    note(sender, errno, "open source", "");
    return 1;
  }
  if (contents) return send_directory(sender, fd, "", peer);
  int result = send_named(sender, fd, name, peer);
  close(fd);
  return result;
}

/* The channel broke. The receiver may have said why before it ended. */
static void take_last_word(struct sender *sender, struct failure *peer) {
  struct message message;
  int error = errno;
  while (channel_receive(sender->channel, &message) == 0) {
    if (message.type != COPY_DONE) continue;
    failure_of_message(&message, peer);
    if (peer->error != 0) return;
  }
  failure_note(sender->own, error == EPROTO ? EPROTO : ECONNRESET, "talk to the other side", "", "");
}

void send_tree(struct channel *channel, const struct place *place, const char *path, struct failure *own,
               struct failure *peer) {
  struct sender sender = {.channel = channel, .own = own};
  struct message message;
  levels_init(&sender.levels, path);
  int result = send_source(&sender, place, path, peer);
  levels_free(&sender.levels);
  if (result == 0) return;
  if (result == 1 && channel_send_failure(channel, COPY_END, own) == 0 &&
      channel_receive(channel, &message) == 0 && message.type == COPY_DONE) {
    failure_of_message(&message, peer);
    return;
  }
  take_last_word(&sender, peer);
}
