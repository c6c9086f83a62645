/* Stat, list, read and write; the other operations have files of their own. */
#include "files.h"

#include "output.h"
#include "protocol.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct files_stream stream; /* too large for a stack */

static bool send_entry(int directory, const char *name, const char *shown, const struct stat *facts) {
  static unsigned char payload[sizeof(struct files_entry) + COPY_NAME_MAX + COPY_LINK_MAX + 2];
  char target[COPY_LINK_MAX + 1];
  ssize_t target_length = 0;
  if (S_ISLNK(facts->st_mode)) target_length = readlinkat(directory, name, target, sizeof target);
  /* it was replaced meanwhile: what is told is what it was */
  if (target_length < 0 || target_length > COPY_LINK_MAX) target_length = 0;
  size_t name_length = strnlen(shown, COPY_NAME_MAX);
  struct files_entry entry = {
      .mode = facts->st_mode,
      .uid = facts->st_uid,
      .gid = facts->st_gid,
      .size = (uint64_t)facts->st_size,
      .modified_ns = (int64_t)facts->st_mtim.tv_sec * 1000000000 + facts->st_mtim.tv_nsec,
      .name_length = (uint16_t)name_length,
      .target_length = (uint16_t)target_length,
  };
  memcpy(payload, &entry, sizeof entry);
  memcpy(payload + sizeof entry, shown, name_length);
  memcpy(payload + sizeof entry + name_length, target, (size_t)target_length);
  return files_send(&stream, FILES_ENTRY, payload, sizeof entry + name_length + (size_t)target_length);
}

static int stat_path(const struct place *place, const char *path) {
  struct stat facts;
  int fd = place_open(place, path, O_PATH | O_NOFOLLOW);
  if (fd < 0 || fstat(fd, &facts) != 0) return files_fail(&stream, "stat", path);
  /* of a link that was opened itself, the empty name is its own */
  return send_entry(fd, "", "", &facts) ? 0 : 1;
}

static int list_path(const struct place *place, const char *path) {
  int fd = place_open(place, path, O_RDONLY | O_DIRECTORY);
  DIR *directory = fd < 0 ? NULL : fdopendir(fd);
  if (directory == NULL) return files_fail(&stream, "list", path);
  for (;;) {
    errno = 0;
    struct dirent *entry = readdir(directory);
    if (entry == NULL) break;
    struct stat facts;
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    /* it went meanwhile */
    if (fstatat(dirfd(directory), entry->d_name, &facts, AT_SYMLINK_NOFOLLOW) != 0) continue;
    if (!send_entry(dirfd(directory), entry->d_name, entry->d_name, &facts)) return 1;
  }
  return errno == 0 ? 0 : files_fail(&stream, "list", path);
}

/* A pipe or a device is neither waited for nor read. */
static int open_regular(const struct place *place, const char *path, struct stat *facts) {
  int fd = place_open(place, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
  if (fd < 0 || fstat(fd, facts) != 0) return -1;
  if (S_ISREG(facts->st_mode)) return fd;
  close(fd);
  errno = S_ISDIR(facts->st_mode) ? EISDIR : EINVAL;
  return -1;
}

static int read_path(const struct place *place, const char *path, uint64_t offset, uint64_t length) {
  static unsigned char buffer[FILES_FRAME_MAX];
  struct stat facts;
  int fd = open_regular(place, path, &facts);
  if (fd < 0) return files_fail(&stream, "read", path);
  for (off_t at = (off_t)offset; length > 0;) {
    ssize_t got = pread(fd, buffer, length < sizeof buffer ? (size_t)length : sizeof buffer, at);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return files_fail(&stream, "read", path);
    if (got == 0) break;
    if (!files_put(&stream, buffer, (size_t)got)) return 1;
    at += got;
    length -= (uint64_t)got;
  }
  return 0;
}

static bool fill(struct output *output) {
  static unsigned char buffer[FILES_FRAME_MAX];
  for (;;) {
    ssize_t got = files_take(&stream, buffer, sizeof buffer);
    if (got == 0) return true;
    if (got < 0) return false;
    for (ssize_t done = 0; done < got;) {
      ssize_t written = write(output->fd, buffer + done, (size_t)(got - done));
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) return false;
      done += written;
    }
  }
}

static int write_path(const struct place *place, const char *path, bool has_mode, mode_t mode) {
  const struct output_rules rules = {.mask = OUTPUT_MODES, .uid = OUTPUT_KEEP, .gid = (gid_t)-1};
  char name[COPY_NAME_MAX + 1];
  struct output output;
  struct stat facts;
  if (path[strlen(path) - 1] == '/') {
    errno = EISDIR;
    return files_fail(&stream, "write", path);
  }
  int directory = place_open_parent(place, path, name);
  if (directory < 0) return files_fail(&stream, "write", path);
  bool exists = fstatat(directory, name, &facts, AT_SYMLINK_NOFOLLOW) == 0;
  if (exists && S_ISDIR(facts.st_mode)) {
    errno = EISDIR;
    return files_fail(&stream, "write", path);
  }
  if (!has_mode) mode = exists && S_ISREG(facts.st_mode) ? facts.st_mode : 0644;
  if (output_open(&output, directory) != 0) return files_fail(&stream, "write", path);
  if (!fill(&output)) {
    output_drop(&output, directory);
    return files_fail(&stream, "write", path);
  }
  return output_finish(&output, directory, name, mode, &rules) == 0 ? 0 : files_fail(&stream, "write", path);
}

/* Decimal digits; `otherwise` for "-". The daemon has checked them. */
static uint64_t number(const char *text, uint64_t otherwise) {
  return strcmp(text, "-") == 0 ? otherwise : strtoull(text, NULL, 10);
}

/* files OPERATION PATH FIRST SECOND [ROOT] */
int files_main(int argc, char **argv) {
  struct place place;
  const char *operation = argv[2], *path = argv[3];
  int result;
  stream.socket = 0;
  if ((argc > 6 ? place_directory(&place, argv[6]) : place_own_root(&place)) != 0)
    result = files_fail(&stream, "open root", "/");
  else if (strcmp(operation, "stat") == 0) result = stat_path(&place, path);
  else if (strcmp(operation, "list") == 0) result = list_path(&place, path);
  else if (strcmp(operation, "read") == 0)
    result = read_path(&place, path, number(argv[4], 0), number(argv[5], UINT64_MAX));
  else if (strcmp(operation, "write") == 0)
    result = write_path(&place, path, strcmp(argv[4], "-") != 0, (mode_t)number(argv[4], 0));
  else if (strcmp(operation, "watch") == 0) result = files_watch(&stream, &place, path);
  else if (strcmp(operation, "read-tar") == 0) result = tar_send(&stream, &place, path);
  else if (strcmp(operation, "write-tar") == 0) result = tar_receive(&stream, &place, path);
  else {
    errno = EINVAL;
    result = files_fail(&stream, operation, path);
  }
  if (result != 0) {
    files_drain(&stream);
    return 1;
  }
  return files_send(&stream, FILES_END, NULL, 0) ? 0 : 1;
}
