#include "receiver.h"

#include "levels.h"
#include "target.h"
#include "transfer.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ALL_BITS 07777u

struct receiver {
  struct channel *channel;
  struct failure *own;
  const struct output_rules *rules;
  const char *const *forbidden; /* directories of the host that nothing is written into, NULL at the end */
  struct levels levels;
  size_t base;      /* the level of the source's own directory, which no LEAVE ends */
  uint64_t skipped; /* directories that could not be made: nothing that comes below them is */
  uint64_t base_skipped;
};

/* Answers -1 when going on makes no sense. */
static int note(struct receiver *receiver, int error, const char *operation, const char *name) {
  failure_note(receiver->own, error, operation, levels_path(&receiver->levels), name);
  return failure_is_fatal(error) ? -1 : 0;
}

static int nonsense(struct receiver *receiver, const char *what) {
  failure_note(receiver->own, EPROTO, what, levels_path(&receiver->levels), "");
  return -1;
}

static bool is_name(const char *name) {
  return name[0] != '\0' && strcmp(name, ".") != 0 && strcmp(name, "..") != 0 && strchr(name, '/') == NULL;
}

/*
 * Opens a directory for working in it. One that its owner has closed for himself is opened for as long as the
 * copy takes.
 */
static int open_inside(int parent, const char *name) {
  int flags = O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
  struct stat facts;
  int fd = openat(parent, name, O_RDONLY | flags);
  if ((fd < 0 && errno != EACCES) || (fd >= 0 && geteuid() == 0)) return fd;
  int closed = fd >= 0 ? fd : openat(parent, name, O_PATH | flags);
  if (closed < 0 || fstat(closed, &facts) != 0) return fd;
  if ((facts.st_mode & 0700) == 0700) goto out;
  char path[64]; /* fchmod(2) takes no descriptor that was opened for its path only */
  snprintf(path, sizeof path, "/proc/self/fd/%d", closed);
  if (chmod(path, (facts.st_mode & ALL_BITS) | 0700) == 0 && fd < 0)
    fd = openat(parent, name, O_RDONLY | flags);
  else errno = EACCES;
out:;
  int saved = errno;
  if (closed != fd) close(closed);
  errno = saved;
  return fd;
}

/*
 * The destination may be above a directory of the daemon, and a container chooses the names of what is in it.
 */
static bool is_closed(struct receiver *receiver, const char *name) {
  if (target_check_entry(levels_top(&receiver->levels)->fd, name, receiver->forbidden) == 0) return false;
  note(receiver, errno, "write into a directory of the daemon", name);
  return true;
}

static int enter(struct receiver *receiver, const char *name, uint32_t mode) {
  int parent = levels_top(&receiver->levels)->fd;
  struct stat facts;
  int made = mkdirat(parent, name, 0700);
  if (made != 0 && errno == EEXIST) {
    if (output_make_way(parent, name, true) != 0) goto failed;
    made = mkdirat(parent, name, 0700);
  }
  if (made != 0 && errno != EEXIST) goto failed;
  int fd = open_inside(parent, name);
  if (fd < 0 || fstat(fd, &facts) != 0) goto failed;
  struct level *level = levels_push(&receiver->levels, fd, name, &facts);
  if (level == NULL) goto failed;
  level->mode = mode & receiver->rules->mask;
  return 0;
failed:
  receiver->skipped = 1;
  return note(receiver, errno, "make directory", name);
}

static int change_owner(struct receiver *receiver, int directory, const struct stat *facts) {
  const struct output_rules *rules = receiver->rules;
  bool changes = (rules->uid != OUTPUT_KEEP && rules->uid != facts->st_uid) ||
                 (rules->gid != (gid_t)-1 && rules->gid != facts->st_gid);
  return changes && fchown(directory, rules->uid, rules->gid) != 0 ? -1 : 0;
}

/* The content is complete: the directory gets what it shall have. */
static int finish_directory(struct receiver *receiver) {
  struct level *level = levels_top(&receiver->levels);
  struct stat facts;
  if (fstat(level->fd, &facts) != 0) return note(receiver, errno, "stat", "");
  if (change_owner(receiver, level->fd, &facts) != 0) return note(receiver, errno, "change owner", "");
  if ((facts.st_mode & ALL_BITS) != level->mode && fchmod(level->fd, level->mode) != 0)
    return note(receiver, errno, "change mode", "");
  return 0;
}

static int leave(struct receiver *receiver) {
  if (receiver->skipped > receiver->base_skipped) {
    receiver->skipped--;
    return 0;
  }
  if (receiver->skipped > 0 || receiver->levels.depth <= receiver->base)
    return nonsense(receiver, "more ends than beginnings of directories");
  int result = finish_directory(receiver);
  if (levels_pop(&receiver->levels) != 0) return note(receiver, errno, "return to directory", "");
  return result;
}

static int write_all(int fd, const unsigned char *bytes, size_t length, off_t offset) {
  while (length > 0) {
    ssize_t count = pwrite(fd, bytes, length, offset);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return -1;
    bytes += count;
    offset += count;
    length -= (size_t)count;
  }
  return 0;
}

static int receive_file(struct receiver *receiver, const struct message *message, const char *name) {
  int directory = levels_top(&receiver->levels)->fd;
  struct output output;
  if (output_open(&output, directory) != 0) return note(receiver, errno, "create file", name);
  if (write_all(output.fd, message->payload, message->payload_length, 0) != 0) {
    int saved = errno;
    output_drop(&output, directory);
    return note(receiver, saved, "write", name);
  }
  if (output_finish(&output, directory, name, message->mode, receiver->rules) != 0)
    return note(receiver, errno, "create file", name);
  return 0;
}

static int receive_link(struct receiver *receiver, const struct message *message, const char *name) {
  char target[COPY_LINK_MAX + 1];
  if (message->payload_length > COPY_LINK_MAX ||
      memchr(message->payload, '\0', message->payload_length) != NULL)
    return nonsense(receiver, "a link that cannot be");
  memcpy(target, message->payload, message->payload_length);
  target[message->payload_length] = '\0';
  if (output_link(levels_top(&receiver->levels)->fd, name, target, receiver->rules) != 0)
    return note(receiver, errno, "create link", name);
  return 0;
}

static int peer_lost(struct receiver *receiver) {
  failure_note(receiver->own, errno == EPROTO ? EPROTO : ECONNRESET, "talk to the other side", "", "");
  return -1;
}

/* On the host: the source came as a descriptor, and this role copies it. `name` NULL: it is not wanted. */
static int take_large(struct receiver *receiver, const struct message *message, const char *name) {
  int directory = levels_top(&receiver->levels)->fd;
  struct output output;
  int in = channel_take_fd(receiver->channel);
  if (in < 0) return nonsense(receiver, "a large file without its content");
  if (name == NULL) return close(in);
  if (output_open(&output, directory) != 0) {
    int saved = errno;
    close(in);
    return note(receiver, saved, "create file", name);
  }
  struct transfer_result result = transfer(in, output.fd, (off_t)message->size);
  close(in);
  if (result.error != 0) {
    output_drop(&output, directory);
    return note(receiver, result.error, result.is_writing ? "write" : "read", name);
  }
  if (output_finish(&output, directory, name, message->mode, receiver->rules) != 0)
    return note(receiver, errno, "create file", name);
  return 0;
}

static int answer_opened(struct receiver *receiver, int error, int fd) {
  struct copy_header header = {.type = COPY_OPENED, .mode = (uint32_t)error};
  int result;
  if (fd >= 0) result = channel_send_fd(receiver->channel, &header, "", fd);
  else if ((result = channel_send(receiver->channel, &header, "", NULL)) == 0)
    result = channel_flush(receiver->channel);
  return result == 0 ? 0 : peer_lost(receiver);
}

/*
 * In the container: this role makes the file and the one on the host fills it. `given_name` NULL: it is not
 * wanted.
 */
static int offer_large(struct receiver *receiver, const struct message *first, const char *given_name) {
  char name[COPY_NAME_MAX + 1];
  struct message message;
  const mode_t mode = first->mode;
  int directory = levels_top(&receiver->levels)->fd;
  struct output output;
  if (given_name == NULL) return answer_opened(receiver, ECANCELED, -1);
  memcpy(name, given_name, strlen(given_name) + 1);
  if (output_open(&output, directory) != 0) {
    int saved = errno;
    return answer_opened(receiver, saved, -1) != 0 ? -1 : note(receiver, saved, "create file", name);
  }
  int result = answer_opened(receiver, 0, output.fd);
  if (result == 0 && channel_receive(receiver->channel, &message) != 0) result = peer_lost(receiver);
  if (result == 0 && message.type != COPY_CLOSE) result = nonsense(receiver, "a message out of order");
  if (result != 0 || message.mode != 0) {
    output_drop(&output, directory);
    /* the sender has noted it when reading failed */
    return result != 0 || message.size == 0 ? result
                                            : note(receiver, (int)(message.mode & 0xfff), "write", name);
  }
  if (output_finish(&output, directory, name, mode, receiver->rules) != 0)
    return note(receiver, errno, "create file", name);
  return 0;
}

static int receive_large(struct receiver *receiver, const struct message *message, const char *name) {
  if (message->size > INT64_MAX) return nonsense(receiver, "a file that cannot be");
  return receiver->channel->takes_descriptors ? take_large(receiver, message, name)
                                              : offer_large(receiver, message, name);
}

/* One thing of the tree, under `name`. */
static int receive_entry(struct receiver *receiver, const struct message *message, const char *name) {
  if (!is_name(name)) return nonsense(receiver, "a name that cannot be");
  bool is_skipped = receiver->skipped > 0 || is_closed(receiver, name);
  switch (message->type) {
    case COPY_ENTER:
      if (!S_ISDIR(message->mode)) return nonsense(receiver, "a directory that is none");
      if (is_skipped && ++receiver->skipped > COPY_DEPTH_MAX)
        return nonsense(receiver, "too many directories inside each other");
      return is_skipped ? 0 : enter(receiver, name, message->mode);
    case COPY_FILE:
      if (!S_ISREG(message->mode)) return nonsense(receiver, "a file that is none");
      return is_skipped ? 0 : receive_file(receiver, message, name);
    case COPY_LARGE:
      if (!S_ISREG(message->mode)) return nonsense(receiver, "a file that is none");
      return receive_large(receiver, message, is_skipped ? NULL : name);
    case COPY_LINK:
      return is_skipped ? 0 : receive_link(receiver, message, name);
    case COPY_ROOT:
    case COPY_LEAVE:
    case COPY_OPENED:
    case COPY_CLOSE:
    case COPY_END:
    case COPY_READY:
    case COPY_DONE:
      break;
  }
  return nonsense(receiver, "a message out of order");
}

/* Up to END, for a file or a link: at most one, which gets `name`. */
static int receive_single(struct receiver *receiver, const char *name, struct failure *peer) {
  struct message message;
  if (channel_receive(receiver->channel, &message) != 0) return peer_lost(receiver);
  if (message.type == COPY_FILE || message.type == COPY_LARGE || message.type == COPY_LINK) {
    int result = receive_entry(receiver, &message, name);
    if (result != 0) return result;
    if (channel_receive(receiver->channel, &message) != 0) return peer_lost(receiver);
  }
  if (message.type != COPY_END) return nonsense(receiver, "more than one file");
  failure_of_message(&message, peer);
  return 0;
}

/* Up to END, the content of the directory on top. */
static int receive_entries(struct receiver *receiver, struct failure *peer) {
  receiver->base = receiver->levels.depth;
  receiver->base_skipped = receiver->skipped;
  for (;;) {
    struct message message;
    if (channel_receive(receiver->channel, &message) != 0) return peer_lost(receiver);
    if (message.type == COPY_END) {
      failure_of_message(&message, peer);
      break;
    }
    int result =
        message.type == COPY_LEAVE ? leave(receiver) : receive_entry(receiver, &message, message.name);
    if (result != 0) return result;
  }
  /*
   * an unfinished directory is one that the sender could not come back to; with no failure of its own that is
   * a lie
   */
  if (peer->error == 0 && receiver->levels.depth > receiver->base)
    return nonsense(receiver, "a directory without an end");
  while (receiver->levels.depth > receiver->base)
    if (levels_pop(&receiver->levels) != 0) return note(receiver, errno, "return to directory", "");
  return 0;
}

/* What the source is decides where it goes. */
static int begin(struct receiver *receiver, const struct place *place, const char *path,
                 const struct message *root, struct target *target) {
  const char *operation;
  bool is_directory = S_ISDIR(root->mode), is_contents = (root->size & COPY_CONTENTS) != 0;
  if (is_contents ? root->name[0] != '\0' || !is_directory : !is_name(root->name))
    return nonsense(receiver, "a name that cannot be");
  bool is_single = !is_directory || (root->size & COPY_EMPTY) != 0;
  struct stat facts;
  if (target_open(target, place, path, is_single, is_directory, receiver->forbidden, &operation) != 0) {
    note(receiver, errno, operation, "");
    return -1;
  }
  if (fstat(target->directory, &facts) != 0) {
    note(receiver, errno, "stat", "");
    close(target->directory);
    return -1;
  }
  if (target->name[0] != '\0') levels_to_parent(&receiver->levels);
  uint64_t identity[2] = {facts.st_dev, facts.st_ino};
  struct level *level = levels_push(&receiver->levels, target->directory, "", &facts);
  if (level == NULL) {
    note(receiver, errno, "open destination", "");
    return -1;
  }
  struct copy_header header = {.type = COPY_READY, .payload_length = sizeof identity};
  if (channel_send(receiver->channel, &header, "", identity) != 0 || channel_flush(receiver->channel) != 0)
    return peer_lost(receiver);
  return 0;
}

/*
 * The source's own directory: contents are the destination directory itself, or with a name for it a new one
 * there; another directory is made inside.
 */
static int receive_root(struct receiver *receiver, const struct message *root, const struct target *target,
                        struct failure *peer) {
  const char *name = target->name[0] != '\0' ? target->name : root->name;
  if (!S_ISDIR(root->mode)) return receive_single(receiver, name, peer);
  if (name[0] != '\0' && is_closed(receiver, name)) {
    receiver->skipped = 1;
  } else if (name[0] != '\0') {
    int result = enter(receiver, name, root->mode);
    if (result != 0) return result;
  } else {
    levels_top(&receiver->levels)->mode = root->mode & receiver->rules->mask;
  }
  /* when it could not be made, what comes is heard to its end */
  int result = receive_entries(receiver, peer);
  return result != 0 || receiver->skipped > 0 ? result : finish_directory(receiver);
}

/*
 * A directory that was made for the copy to go into is a part of it: whoever gets the content may remove it
 * all.
 */
static int finish_destination(struct receiver *receiver) {
  struct stat facts;
  while (receiver->levels.depth > 1)
    if (levels_pop(&receiver->levels) != 0) return note(receiver, errno, "return to directory", "");
  int directory = levels_top(&receiver->levels)->fd;
  if (fstat(directory, &facts) != 0) return note(receiver, errno, "stat", "");
  return change_owner(receiver, directory, &facts) != 0 ? note(receiver, errno, "change owner", "") : 0;
}

void receive_tree(struct channel *channel, const struct place *place, const char *path,
                  const struct output_rules *rules, const char *const *forbidden, struct failure *own,
                  struct failure *peer) {
  struct receiver receiver = {.channel = channel, .own = own, .rules = rules, .forbidden = forbidden};
  struct message root;
  struct target target;
  levels_init(&receiver.levels, path);
  if (channel_receive(channel, &root) != 0) {
    peer_lost(&receiver);
  } else if (root.type == COPY_END) {
    failure_of_message(&root, peer);
  } else if (root.type != COPY_ROOT) {
    nonsense(&receiver, "a message out of order");
  } else {
    const struct message kept = root; /* its name is a copy; a root has no payload */
    if (begin(&receiver, place, path, &kept, &target) == 0 &&
        receive_root(&receiver, &kept, &target, peer) == 0 && target.is_made)
      finish_destination(&receiver);
  }
  channel_send_failure(channel, COPY_DONE, own); /* when that fails, nobody is left to hear it */
  levels_free(&receiver.levels);
}
