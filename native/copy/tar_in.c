/*
 * Unpacks a tar archive below a directory. Every name in it is somebody's wish: it is taken apart, `..` is
 * refused, and each directory on the way is opened without following a link, so that nothing is made outside,
 * whatever stands there already or came earlier in the archive.
 */
#include "files.h"
#include "output.h"
#include "protocol.h"
#include "tar.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 * Directories that their owner could not write into are made so at the end; more of them are not remembered.
 */
#define LATE_MAX 4096

/* An entry as its headers tell. */
struct entry {
  char name[TAR_PATH_MAX], link[TAR_PATH_MAX];
  char type;
  mode_t mode;
  uint64_t size;
  struct timespec modified;
};

/* What an extended header said about the next entry. */
struct extended {
  bool has_name, has_link, has_size, has_time;
  char name[TAR_PATH_MAX], link[TAR_PATH_MAX];
  uint64_t size;
  struct timespec modified;
};

struct late {
  char *name;
  mode_t mode;
};

static struct entry entry;
static struct extended extended;
static struct late late[LATE_MAX];
static size_t late_count;
static char content[2 * TAR_PATH_MAX];
static unsigned char buffer[FILES_FRAME_MAX];
static const struct output_rules rules = {.mask = OUTPUT_MODES, .uid = OUTPUT_KEEP, .gid = (gid_t)-1};

/* Exactly `length` bytes. False with errno: EPIPE, EPROTO; EINVAL when the archive ends in the middle. */
static bool take_all(struct files_stream *stream, void *into, size_t length) {
  for (size_t done = 0; done < length;) {
    ssize_t got = files_take(stream, (unsigned char *)into + done, length - done);
    if (got < 0) return false;
    if (got == 0) {
      errno = EINVAL;
      return false;
    }
    done += (size_t)got;
  }
  return true;
}

static bool skip(struct files_stream *stream, uint64_t length) {
  while (length > 0) {
    size_t part = length < sizeof buffer ? (size_t)length : sizeof buffer;
    if (!take_all(stream, buffer, part)) return false;
    length -= part;
  }
  return true;
}

static uint64_t padding(uint64_t size) { return -size & (TAR_BLOCK - 1); }

/* Octal text with blanks around it, or a positive binary number. */
static bool parse_number(const char *field, size_t width, uint64_t *value) {
  *value = 0;
  if (((unsigned char)field[0] & 0x80) != 0) {
    for (size_t i = 0; i < width; i++) {
      unsigned char byte = i == 0 ? (unsigned char)field[0] & 0x7f : (unsigned char)field[i];
      if (*value >> 55 != 0) return false; /* larger than any file */
      *value = *value << 8 | byte;
    }
    return true;
  }
  size_t i = 0;
  while (i < width && field[i] == ' ') i++;
  for (; i < width && field[i] >= '0' && field[i] <= '7'; i++) {
    if (*value >> 60 != 0) return false;
    *value = *value << 3 | (uint64_t)(field[i] - '0');
  }
  return i == width || field[i] == ' ' || field[i] == '\0';
}

/* As parse_number(); before 1970 it is GNU's binary number with all bits set in front. */
static bool parse_time(const char *field, size_t width, time_t *time) {
  uint64_t value = UINT64_MAX;
  const bool is_negative = (unsigned char)field[0] == 0xff;
  if (!is_negative && !parse_number(field, width, &value)) return false;
  for (size_t i = 0; is_negative && i < width; i++) {
    if (value >> 55 != UINT64_MAX >> 55) return false; /* longer ago than 2^55 seconds */
    value = value << 8 | (unsigned char)field[i];
  }
  *time = (time_t)value;
  return is_negative == (*time < 0);
}

static bool is_zero(const void *block) {
  const unsigned char *bytes = block;
  for (size_t i = 0; i < TAR_BLOCK; i++)
    if (bytes[i] != 0) return false;
  return true;
}

static bool has_checksum(const struct tar_header *header) {
  uint64_t told;
  unsigned sum = 0;
  int signed_sum = 0; /* of old writers */
  for (size_t i = 0; i < TAR_BLOCK; i++) {
    bool is_own = i >= offsetof(struct tar_header, checksum) &&
                  i < offsetof(struct tar_header, checksum) + sizeof header->checksum;
    unsigned char byte = is_own ? ' ' : ((const unsigned char *)header)[i];
    sum += byte;
    signed_sum += (signed char)byte;
  }
  return parse_number(header->checksum, sizeof header->checksum, &told) &&
         (told == sum || (int64_t)told == signed_sum);
}

static size_t copy_field(char *into, const char *field, size_t width) {
  size_t length = strnlen(field, width);
  memcpy(into, field, length);
  into[length] = '\0';
  return length;
}

/* The content of a header about the next entry, with a NUL behind it. */
static bool take_content(struct files_stream *stream, uint64_t size) {
  if (size >= sizeof content) {
    errno = ENAMETOOLONG;
    return false;
  }
  if (!take_all(stream, content, (size_t)size) || !skip(stream, padding(size))) return false;
  content[size] = '\0';
  return true;
}

static bool take_text(char *into, bool *has, const char *value, size_t length) {
  if (length >= TAR_PATH_MAX || memchr(value, '\0', length) != NULL) {
    errno = EINVAL;
    return false;
  }
  memcpy(into, value, length);
  into[length] = '\0';
  *has = true;
  return true;
}

static bool take_record(const char *key, size_t key_length, const char *value, size_t length) {
  if (key_length == 4 && memcmp(key, "path", 4) == 0)
    return take_text(extended.name, &extended.has_name, value, length);
  if (key_length == 8 && memcmp(key, "linkpath", 8) == 0)
    return take_text(extended.link, &extended.has_link, value, length);
  if (key_length > 11 && memcmp(key, "GNU.sparse.", 11) == 0) { /* its bytes would not be the file's */
    errno = ENOTSUP;
    return false;
  }
  /* the value ends with the record's newline, which is no digit */
  if (key_length == 4 && memcmp(key, "size", 4) == 0) {
    extended.size = strtoull(value, NULL, 10);
    extended.has_size = true;
  }
  if (key_length == 5 && memcmp(key, "mtime", 5) == 0) {
    extended.modified = (struct timespec){.tv_sec = strtoll(value, NULL, 10)};
    extended.has_time = true;
  }
  return true;
}

static bool parse_extended(size_t size) {
  for (size_t at = 0; at < size;) {
    char *end;
    if (content[at] < '1' || content[at] > '9') break;
    unsigned long length = strtoul(content + at, &end, 10);
    size_t digits = (size_t)(end - (content + at));
    if (*end != ' ' || length <= digits + 2 || length > size - at || content[at + length - 1] != '\n') break;
    const char *key = end + 1, *equals = memchr(key, '=', length - digits - 1);
    if (equals == NULL) break;
    if (!take_record(key, (size_t)(equals - key), equals + 1,
                     length - digits - 1 - (size_t)(equals - key) - 2))
      return false;
    at += length;
    if (at == size) return true;
  }
  errno = EINVAL;
  return size == 0;
}

static bool fill_entry(const struct tar_header *header) {
  uint64_t mode;
  time_t modified;
  if (!parse_number(header->mode, sizeof header->mode, &mode) ||
      !parse_number(header->size, sizeof header->size, &entry.size) ||
      !parse_time(header->mtime, sizeof header->mtime, &modified)) {
    errno = EINVAL;
    return false;
  }
  size_t length = 0;
  if (memcmp(header->magic, "ustar", 6) == 0 && header->prefix[0] != '\0') {
    length = copy_field(entry.name, header->prefix, sizeof header->prefix);
    entry.name[length++] = '/';
  }
  copy_field(entry.name + length, header->name, sizeof header->name);
  copy_field(entry.link, header->link, sizeof header->link);
  entry.type = header->type == '\0' || header->type == '7' ? '0' : header->type;
  entry.mode = (mode_t)mode & OUTPUT_MODES;
  entry.modified = (struct timespec){.tv_sec = modified};
  if (extended.has_name) memcpy(entry.name, extended.name, strlen(extended.name) + 1);
  if (extended.has_link) memcpy(entry.link, extended.link, strlen(extended.link) + 1);
  if (extended.has_size) entry.size = extended.size;
  if (extended.has_time) entry.modified = extended.modified;
  if (entry.size >> 62 != 0) {
    errno = EFBIG;
    return false;
  }
  /* a directory of old writers: a file whose name ends with a slash */
  length = strlen(entry.name);
  if (entry.type == '0' && length > 0 && entry.name[length - 1] == '/') entry.type = '5';
  extended.has_name = extended.has_link = extended.has_size = extended.has_time = false;
  return true;
}

/* 1: `entry` is the next one, 0: the end, -1: errno. */
static int next_entry(struct files_stream *stream) {
  struct tar_header header;
  for (;;) {
    ssize_t got = files_take(stream, &header, 1);
    if (got <= 0) return got == 0 ? 0 : -1; /* some writers leave the closing blocks out */
    if (!take_all(stream, (unsigned char *)&header + 1, sizeof header - 1)) return -1;
    if (is_zero(&header)) return 0;
    uint64_t size;
    errno = EINVAL;
    if (!has_checksum(&header) || !parse_number(header.size, sizeof header.size, &size)) return -1;
    switch (header.type) {
      case 'g':
        if (size >> 62 != 0 || !skip(stream, size + padding(size))) return -1;
        break;
      case 'x':
        if (!take_content(stream, size) || !parse_extended((size_t)size)) return -1;
        break;
      case 'L':
        if (!take_content(stream, size) ||
            !take_text(extended.name, &extended.has_name, content, strnlen(content, (size_t)size)))
          return -1;
        break;
      case 'K':
        if (!take_content(stream, size) ||
            !take_text(extended.link, &extended.has_link, content, strnlen(content, (size_t)size)))
          return -1;
        break;
      default:
        return fill_entry(&header) ? 1 : -1;
    }
  }
}

/*
 * Opens the directory that holds the last component of `name` and lets `last` point to that, in `name`, which
 * is changed. Directories on the way are made. `last` is NULL for the directory that is unpacked into.
 */
static int open_parent(int root, char *name, char **last) {
  int directory = fcntl(root, F_DUPFD_CLOEXEC, 3);
  char *component = NULL;
  *last = NULL;
  for (char *at = name; directory >= 0;) {
    at += strspn(at, "/");
    size_t length = strcspn(at, "/");
    if (length == 0) break;
    char *next = at + length + (at[length] == '/');
    at[length] = '\0';
    if (strcmp(at, "..") == 0) {
      errno = EINVAL;
      close(directory);
      return -1;
    }
    if (strcmp(at, ".") != 0) {
      if (component != NULL) {
        int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
            inner = openat(directory, component, flags);
        if (inner < 0 && errno == ENOENT && (mkdirat(directory, component, 0755) == 0 || errno == EEXIST))
          inner = openat(directory, component, flags);
        int saved = errno;
        close(directory);
        errno = saved;
        directory = inner;
      }
      component = at;
    }
    at = next;
  }
  if (directory >= 0) *last = component;
  return directory;
}

static int make_file(struct files_stream *stream, int directory, const char *name) {
  struct output output;
  if (output_open(&output, directory) != 0) return -1;
  for (uint64_t left = entry.size; left > 0;) {
    size_t part = left < sizeof buffer ? (size_t)left : sizeof buffer;
    if (!take_all(stream, buffer, part)) goto failed;
    for (size_t done = 0; done < part;) {
      ssize_t written = write(output.fd, buffer + done, part - done);
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) goto failed;
      done += (size_t)written;
    }
    left -= part;
  }
  const struct timespec times[2] = {entry.modified, entry.modified};
  futimens(output.fd, times); /* a file without its time is still the file */
  if (output_finish(&output, directory, name, entry.mode, &rules) != 0) return -1;
  return skip(stream, padding(entry.size)) ? 0 : -1;
failed:
  output_drop(&output, directory);
  return -1;
}

static int make_directory(int directory, const char *name, const char *whole) {
  if (output_make_way(directory, name, true) != 0) return -1;
  if (mkdirat(directory, name, 0700) != 0 && errno != EEXIST) return -1;
  int fd = openat(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return -1;
  int result = fchmod(fd, entry.mode | 0700);
  int saved = errno;
  close(fd);
  errno = saved;
  if (result != 0 || (entry.mode & 0700) == 0700) return result;
  errno = ENOMEM;
  if (late_count == LATE_MAX || (late[late_count].name = strdup(whole)) == NULL) return -1;
  late[late_count++].mode = entry.mode;
  return 0;
}

static int make_hard_link(int root, int directory, const char *name) {
  struct stat facts, there;
  char *last;
  int result = -1, from = open_parent(root, entry.link, &last);
  if (from < 0) return -1;
  errno = EINVAL;
  if (last != NULL && fstatat(from, last, &facts, AT_SYMLINK_NOFOLLOW) == 0) {
    errno = EINVAL;
    bool is_same = fstatat(directory, name, &there, AT_SYMLINK_NOFOLLOW) == 0 &&
                   there.st_ino == facts.st_ino && there.st_dev == facts.st_dev;
    errno = EINVAL;
    if (is_same) result = 0;
    else if (S_ISREG(facts.st_mode) && output_make_way(directory, name, false) == 0 &&
             (unlinkat(directory, name, 0) == 0 || errno == ENOENT))
      result = linkat(from, last, directory, name, 0);
  }
  int saved = errno;
  close(from);
  errno = saved;
  return result;
}

static int make_entry(struct files_stream *stream, int root) {
  static char whole[TAR_PATH_MAX];
  char *last;
  memcpy(whole, entry.name, strlen(entry.name) + 1);
  int directory = open_parent(root, entry.name, &last), result = -1;
  if (directory < 0) return -1;
  /* its mode is whoever made it's */
  if (last == NULL) result = entry.type == '5' && entry.size == 0 ? 0 : (errno = EINVAL, -1);
  else if (entry.type == '0') result = make_file(stream, directory, last);
  else if (entry.type == '5') result = make_directory(directory, last, whole);
  else if (entry.type == '2') result = output_link(directory, last, entry.link, &rules);
  else if (entry.type == '1') result = make_hard_link(root, directory, last);
  else errno = entry.type >= '3' && entry.type <= '6' ? EPERM : ENOTSUP;
  int saved = errno;
  close(directory);
  errno = saved;
  /* what has no content by its type may bring some all the same */
  if (result == 0 && entry.type != '0' && entry.type != '1' && entry.size > 0)
    return skip(stream, entry.size + padding(entry.size)) ? 0 : -1;
  return result;
}

static void finish_directories(int root) {
  while (late_count > 0) {
    struct late *one = &late[--late_count];
    char *last;
    int directory = open_parent(root, one->name, &last);
    int fd = directory < 0 || last == NULL
                 ? -1
                 : openat(directory, last, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0) {
      fchmod(fd, one->mode);
      close(fd);
    }
    if (directory >= 0) close(directory);
    free(one->name);
  }
}

int tar_receive(struct files_stream *stream, const struct place *place, const char *path) {
  static char shown[TAR_PATH_MAX];
  int more, result = 0, root = place_open(place, path, O_RDONLY | O_DIRECTORY);
  if (root < 0) return files_fail(stream, "open", path);
  extended.has_name = extended.has_link = extended.has_size = extended.has_time = false;
  while (result == 0 && (more = next_entry(stream)) != 0) {
    memcpy(shown, entry.name, strlen(entry.name) + 1);
    if (more < 0) result = files_fail(stream, "read archive", path);
    else if (make_entry(stream, root) != 0) result = files_fail(stream, "unpack", shown);
  }
  finish_directories(root);
  close(root);
  if (result != 0) return result;
  /* blocks behind the end are allowed to be there */
  for (;;) {
    ssize_t got = files_take(stream, buffer, sizeof buffer);
    if (got == 0) return 0;
    if (got < 0) return files_fail(stream, "read archive", path);
  }
}
