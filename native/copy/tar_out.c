/* A tree as a tar archive. What changes while it is read is padded or cut to the size its header has told. */
#include "files.h"
#include "output.h"
#include "protocol.h"
#include "tar.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Each open directory is a descriptor. */
#define DEPTH_MAX 200
/* What fits into the octal digits of a header. */
#define OCTAL_SIZE_MAX 077777777777ull
#define OCTAL_ID_MAX 07777777u

static const unsigned char zeros[TAR_BLOCK];
static char path[TAR_PATH_MAX]; /* of the entry, as it is called in the archive */
static unsigned char buffer[FILES_FRAME_MAX];

static bool pad(struct files_stream *stream, uint64_t size) {
  return files_put(stream, zeros, (size_t)(-size & (TAR_BLOCK - 1)));
}

static void octal(char *field, size_t width, uint64_t value) {
  field[width - 1] = '\0';
  for (size_t i = width - 1; i-- > 0; value >>= 3) field[i] = (char)('0' + (value & 7));
}

static bool put_header(struct files_stream *stream, struct tar_header *header) {
  unsigned sum = 0;
  memcpy(header->magic, "ustar", 6);
  memcpy(header->version, "00", 2);
  memset(header->checksum, ' ', sizeof header->checksum);
  for (size_t i = 0; i < sizeof *header; i++) sum += ((const unsigned char *)header)[i];
  octal(header->checksum, 7, sum);
  return files_put(stream, header, sizeof *header);
}

/* One record of an extended header: its length in digits counts itself. */
static void append_record(char *records, size_t *length, const char *key, const char *value,
                          size_t value_length) {
  size_t rest = strlen(key) + value_length + 3, total = rest + 1, digits = 1;
  for (size_t bound = 10; total >= bound; bound *= 10) total = rest + ++digits;
  char begin[64];
  size_t begin_length = (size_t)snprintf(begin, sizeof begin, "%zu %s=", total, key);
  /* `records` has room for the longest of each key */
  memcpy(records + *length, begin, begin_length);
  *length += begin_length;
  memcpy(records + *length, value, value_length);
  *length += value_length;
  records[(*length)++] = '\n';
}

static void append_number(char *records, size_t *length, const char *key, uint64_t value) {
  char text[24];
  append_record(records, length, key, text,
                (size_t)snprintf(text, sizeof text, "%llu", (unsigned long long)value));
}

static bool put_extended(struct files_stream *stream, const char *records, size_t length) {
  struct tar_header header = {.type = 'x'};
  if (length == 0) return true;
  memcpy(header.name, "PaxHeader", 9);
  octal(header.mode, sizeof header.mode, 0644);
  octal(header.uid, sizeof header.uid, 0);
  octal(header.gid, sizeof header.gid, 0);
  octal(header.size, sizeof header.size, length);
  octal(header.mtime, sizeof header.mtime, 0);
  return put_header(stream, &header) && files_put(stream, records, length) && pad(stream, length);
}

static bool put_entry(struct files_stream *stream, const struct stat *facts, char type, const char *target) {
  static char records[TAR_PATH_MAX + COPY_LINK_MAX + 512];
  struct tar_header header = {.type = type};
  size_t records_length = 0, length = strlen(path), target_length = strlen(target);
  uint64_t size = type == '0' ? (uint64_t)facts->st_size : 0,
           seconds = facts->st_mtim.tv_sec < 0 ? 0 : (uint64_t)facts->st_mtim.tv_sec;
  if (length > sizeof header.name) append_record(records, &records_length, "path", path, length);
  if (target_length > sizeof header.link)
    append_record(records, &records_length, "linkpath", target, target_length);
  if (size > OCTAL_SIZE_MAX) append_number(records, &records_length, "size", size);
  if (facts->st_uid > OCTAL_ID_MAX) append_number(records, &records_length, "uid", facts->st_uid);
  if (facts->st_gid > OCTAL_ID_MAX) append_number(records, &records_length, "gid", facts->st_gid);
  memcpy(header.name, path, length < sizeof header.name ? length : sizeof header.name);
  memcpy(header.link, target, target_length < sizeof header.link ? target_length : sizeof header.link);
  octal(header.mode, sizeof header.mode, facts->st_mode & OUTPUT_MODES);
  octal(header.uid, sizeof header.uid, facts->st_uid > OCTAL_ID_MAX ? 0 : facts->st_uid);
  octal(header.gid, sizeof header.gid, facts->st_gid > OCTAL_ID_MAX ? 0 : facts->st_gid);
  octal(header.size, sizeof header.size, size > OCTAL_SIZE_MAX ? 0 : size);
  octal(header.mtime, sizeof header.mtime, seconds > OCTAL_SIZE_MAX ? 0 : seconds);
  return put_extended(stream, records, records_length) && put_header(stream, &header);
}

static int send_content(struct files_stream *stream, int fd, uint64_t size) {
  uint64_t left = size;
  while (left > 0) {
    ssize_t got = read(fd, buffer, left < sizeof buffer ? (size_t)left : sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return files_fail(stream, "read", path);
    if (got == 0) { /* it has become shorter */
      memset(buffer, 0, sizeof buffer);
      got = (ssize_t)(left < sizeof buffer ? left : sizeof buffer);
    }
    if (!files_put(stream, buffer, (size_t)got)) return 1;
    left -= (uint64_t)got;
  }
  return pad(stream, size) ? 0 : 1;
}

static int send_file(struct files_stream *stream, int directory, const char *name) {
  struct stat facts;
  int fd = openat(directory, name, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_NOCTTY | O_CLOEXEC);
  if (fd < 0) return errno == ENOENT ? 0 : files_fail(stream, "open", path);
  if (fstat(fd, &facts) != 0 || !S_ISREG(facts.st_mode)) { /* something else stands there now */
    close(fd);
    return 0;
  }
  int result = put_entry(stream, &facts, '0', "") ? send_content(stream, fd, (uint64_t)facts.st_size) : 1;
  close(fd);
  return result;
}

static int send_link(struct files_stream *stream, int directory, const char *name, const struct stat *facts) {
  char target[COPY_LINK_MAX + 1];
  ssize_t length = readlinkat(directory, name, target, sizeof target);
  if (length < 0 || length > COPY_LINK_MAX) return 0;
  target[length] = '\0';
  return put_entry(stream, facts, '2', target) ? 0 : 1;
}

static int send_directory(struct files_stream *stream, int fd, size_t length, int depth);

static int send_one(struct files_stream *stream, int directory, const char *name, size_t length, int depth) {
  struct stat facts;
  if (fstatat(directory, name, &facts, AT_SYMLINK_NOFOLLOW) != 0)
    return errno == ENOENT ? 0 : files_fail(stream, "stat", path);
  if (S_ISREG(facts.st_mode)) return send_file(stream, directory, name);
  if (S_ISLNK(facts.st_mode)) return send_link(stream, directory, name, &facts);
  if (!S_ISDIR(facts.st_mode)) return 0;
  int fd = openat(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0)
    return errno == ENOENT || errno == ENOTDIR || errno == ELOOP ? 0 : files_fail(stream, "open", path);
  if (fstat(fd, &facts) != 0 || length + 1 >= sizeof path || depth >= DEPTH_MAX) {
    errno = ENAMETOOLONG;
    close(fd);
    return files_fail(stream, "list", path);
  }
  path[length++] = '/';
  path[length] = '\0';
  if (put_entry(stream, &facts, '5', "")) return send_directory(stream, fd, length, depth);
  close(fd);
  return 1;
}

/* `path` ends with a slash, or is empty. Closes the descriptor. */
static int send_directory(struct files_stream *stream, int fd, size_t length, int depth) {
  DIR *directory = fdopendir(fd);
  int result = 0;
  if (directory == NULL) {
    result = files_fail(stream, "list", path);
    close(fd);
    return result;
  }
  for (struct dirent *entry; result == 0 && (errno = 0, entry = readdir(directory)) != NULL;) {
    size_t name_length = strlen(entry->d_name);
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    if (length + name_length + 1 >= sizeof path) {
      errno = ENAMETOOLONG;
      result = files_fail(stream, "list", path);
      break;
    }
    memcpy(path + length, entry->d_name, name_length + 1);
    result = send_one(stream, dirfd(directory), entry->d_name, length + name_length, depth + 1);
    path[length] = '\0';
  }
  if (result == 0 && errno != 0) result = files_fail(stream, "list", path);
  closedir(directory);
  return result;
}

int tar_send(struct files_stream *stream, const struct place *place, const char *from) {
  char name[COPY_NAME_MAX + 1];
  int result, fd = place_open(place, from, O_RDONLY | O_DIRECTORY);
  if (fd >= 0) {
    path[0] = '\0';
    result = send_directory(stream, fd, 0, 0);
  } else if (errno != ENOTDIR) {
    return files_fail(stream, "open", from);
  } else {
    int directory = place_open_parent(place, from, name);
    if (directory < 0) return files_fail(stream, "open", from);
    memcpy(path, name, strlen(name) + 1);
    result = send_one(stream, directory, name, strlen(name), 0);
    close(directory);
  }
  if (result != 0) return result;
  return files_put(stream, zeros, sizeof zeros) && files_put(stream, zeros, sizeof zeros) &&
                 files_flush(stream)
             ? 0
             : 1;
}
