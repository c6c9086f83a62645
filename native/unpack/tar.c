#include "tar.h"

#include "failure.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BLOCK 512

struct header {
  char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8], type, link[100], magic[8],
      owner[32], group[32], major[8], minor[8], prefix[155], rest[12];
};
_Static_assert(sizeof(struct header) == BLOCK, "a header is a block");

int tar_open(struct tar *tar, int fd) {
  tar->fd = fd;
  tar->left = tar->padding = 0;
  tar->start = tar->end = 0;
  tar->pax = malloc(TAR_PAX_MAX + 1);
  return tar->pax == NULL ? fail("allocate", "") : 0;
}

void tar_close(struct tar *tar) {
  free(tar->pax);
  tar->pax = NULL;
}

/* At least one byte into the empty buffer: how many, 0 at the end, -1. */
static long refill(struct tar *tar) {
  ssize_t count;
  do count = read(tar->fd, tar->buffer, sizeof tar->buffer);
  while (count < 0 && errno == EINTR);
  tar->start = 0;
  tar->end = count > 0 ? (size_t)count : 0;
  if (count < 0) return fail("read", "the archive");
  return count;
}

/* Copies, or only skips: how many of the bytes there were, -1. */
static long take(struct tar *tar, void *into, size_t size) {
  size_t done = 0;
  while (done < size) {
    if (tar->start == tar->end) {
      long more = refill(tar);
      if (more < 0) return -1;
      if (more == 0) break;
    }
    size_t part = tar->end - tar->start < size - done ? tar->end - tar->start : size - done;
    if (into != NULL) memcpy((char *)into + done, tar->buffer + tar->start, part);
    tar->start += part;
    done += part;
  }
  return (long)done;
}

static int take_all(struct tar *tar, void *into, size_t size) {
  long got = take(tar, into, size);
  if (got < 0) return -1;
  return (size_t)got == size ? 0 : fail_with(EBADMSG, "read", "an archive that ends in the middle");
}

static int skip(struct tar *tar, uint64_t size) {
  while (size > 0) {
    size_t part = size > (1u << 30) ? 1u << 30 : (size_t)size;
    if (take_all(tar, NULL, part) != 0) return -1;
    size -= part;
  }
  return 0;
}

/* Octal with blanks around it, or GNU's big-endian number marked by the highest bit. */
static bool number(const char *field, size_t size, int64_t *value) {
  const unsigned char *at = (const unsigned char *)field;
  uint64_t result = 0;
  if ((at[0] & 0x80) != 0) {
    bool negative = (at[0] & 0x40) != 0;
    result = negative ? UINT64_MAX : 0;
    for (size_t i = 0; i < size; i++) {
      unsigned byte = i == 0 ? (negative ? at[0] : at[0] & 0x7fu) : at[i];
      if (i + 8 < size && byte != (negative ? 0xffu : 0u)) return false;
      result = (result << 8) | byte;
    }
    *value = (int64_t)result;
    return negative == (*value < 0);
  }
  size_t i = 0;
  while (i < size && at[i] == ' ') i++;
  /* 12 digits at most: no overflow */
  for (; i < size && at[i] >= '0' && at[i] <= '7'; i++) result = result * 8 + (at[i] - '0');
  for (; i < size; i++)
    if (at[i] != ' ' && at[i] != '\0') return false;
  *value = (int64_t)result;
  return true;
}

static bool checksum_holds(const struct header *header) {
  const unsigned char *bytes = (const unsigned char *)header;
  int64_t expected, sum = 0, old = 0; /* some old archivers added signed bytes */
  if (!number(header->checksum, sizeof header->checksum, &expected)) return false;
  for (size_t i = 0; i < BLOCK; i++) {
    bool own = i >= offsetof(struct header, checksum) && i < offsetof(struct header, type);
    sum += own ? ' ' : bytes[i];
    old += own ? ' ' : (signed char)bytes[i];
  }
  return sum == expected || old == expected;
}

static bool is_zero(const struct header *header) {
  const char *bytes = (const char *)header;
  for (size_t i = 0; i < BLOCK; i++)
    if (bytes[i] != 0) return false;
  return true;
}

static size_t bounded(const char *field, size_t size) {
  const char *end = memchr(field, '\0', size);
  return end == NULL ? size : (size_t)(end - field);
}

/* A path of an extension: no zero inside, and not longer than a path can be. */
static int keep_path(char into[TAR_PATH_MAX], const char *from, size_t length) {
  if (length >= TAR_PATH_MAX) return fail_with(ENAMETOOLONG, "read", "a path of the archive");
  if (memchr(from, '\0', length) != NULL) return fail_with(EBADMSG, "read", "a path with a zero in it");
  memcpy(into, from, length);
  into[length] = '\0';
  return 0;
}

/* Decimal, as pax writes numbers. */
static bool decimal(const char *text, size_t length, uint64_t limit, uint64_t *value) {
  *value = 0;
  if (length == 0 || length > 20) return false;
  for (size_t i = 0; i < length; i++) {
    if (text[i] < '0' || text[i] > '9' || *value > (UINT64_MAX - 9) / 10) return false;
    *value = *value * 10 + (uint64_t)(text[i] - '0');
  }
  return *value <= limit;
}

static bool time_of(const char *text, size_t length, struct timespec *time) {
  bool negative = length > 0 && text[0] == '-';
  const char *point = memchr(text, '.', length);
  size_t whole = point == NULL ? length : (size_t)(point - text);
  uint64_t seconds;
  if (!decimal(text + negative, whole - negative, UINT32_MAX * (uint64_t)1000, &seconds)) return false;
  long nanoseconds = 0, unit = 100000000;
  for (size_t i = whole + 1; i < length; i++, unit /= 10) {
    if (text[i] < '0' || text[i] > '9') return false;
    nanoseconds += (text[i] - '0') * unit;
  }
  *time = (struct timespec){.tv_sec = negative ? -(time_t)seconds : (time_t)seconds, .tv_nsec = nanoseconds};
  if (negative && nanoseconds > 0)
    *time = (struct timespec){.tv_sec = time->tv_sec - 1, .tv_nsec = 1000000000 - nanoseconds};
  return true;
}

/* What extensions say of the next entry. */
struct extension {
  bool has_path, has_link, has_size, has_uid, has_gid, has_time;
};

static int keep_xattr(struct tar_entry *entry, const char *name, const char *value, size_t size) {
  if (entry->xattr_count == TAR_XATTRS_MAX)
    return fail_with(E2BIG, "read", "too many attributes of an entry");
  entry->xattrs[entry->xattr_count++] = (struct tar_xattr){.name = name, .value = value, .size = size};
  return 0;
}

#define XATTR "SCHILY.xattr."

static int keep_record(struct tar_entry *entry, struct extension *extension, const char *key,
                       const char *value, size_t size) {
  uint64_t found;
  if (strcmp(key, "path") == 0) {
    extension->has_path = true;
    return keep_path(entry->path, value, size);
  }
  if (strcmp(key, "linkpath") == 0) {
    extension->has_link = true;
    return keep_path(entry->link, value, size);
  }
  if (strcmp(key, "size") == 0 && decimal(value, size, INT64_MAX, &entry->size)) {
    extension->has_size = true;
    return 0;
  }
  if (strcmp(key, "uid") == 0 && decimal(value, size, UINT32_MAX - 1, &found)) {
    entry->uid = (uint32_t)found;
    extension->has_uid = true;
    return 0;
  }
  if (strcmp(key, "gid") == 0 && decimal(value, size, UINT32_MAX - 1, &found)) {
    entry->gid = (uint32_t)found;
    extension->has_gid = true;
    return 0;
  }
  if (strcmp(key, "mtime") == 0 && time_of(value, size, &entry->modified)) {
    extension->has_time = true;
    return 0;
  }
  if (strcmp(key, "size") == 0 || strcmp(key, "uid") == 0 || strcmp(key, "gid") == 0 ||
      strcmp(key, "mtime") == 0)
    return fail_with(EBADMSG, "read", "a number of an extended header");
  if (strncmp(key, "GNU.sparse.", 11) == 0)
    return fail_with(EOPNOTSUPP, "read", "a sparse file of the archive");
  if (strncmp(key, XATTR, sizeof XATTR - 1) == 0)
    return keep_xattr(entry, key + sizeof XATTR - 1, value, size);
  return 0;
}

/* `LENGTH KEY=VALUE\n`, one after the other. Keys get a zero in the place of `=`. */
static int parse_pax(char *text, size_t length, struct tar_entry *entry, struct extension *extension) {
  while (length > 0) {
    char *blank = memchr(text, ' ', length < 21 ? length : 21);
    uint64_t size;
    if (blank == NULL || !decimal(text, (size_t)(blank - text), length, &size))
      return fail_with(EBADMSG, "read", "an extended header");
    size_t head = (size_t)(blank - text) + 1;
    char *equals = size <= head ? NULL : memchr(blank + 1, '=', (size_t)size - head);
    if (equals == NULL || text[size - 1] != '\n' ||
        memchr(blank + 1, '\0', (size_t)(equals - blank - 1)) != NULL)
      return fail_with(EBADMSG, "read", "an extended header");
    *equals = '\0';
    if (keep_record(entry, extension, blank + 1, equals + 1, (size_t)(text + size - 1 - (equals + 1))) != 0)
      return -1;
    text += size;
    length -= (size_t)size;
  }
  return 0;
}

static uint64_t padding_of(uint64_t size) { return (BLOCK - size % BLOCK) % BLOCK; }

/* The content of an extension: into `into`, which has room for `room` bytes and a zero. */
static int take_extension(struct tar *tar, uint64_t size, char *into, size_t room) {
  if (size > room) return fail_with(E2BIG, "read", "an extended header of the archive");
  if (take_all(tar, into, (size_t)size) != 0) return -1;
  into[size] = '\0';
  return skip(tar, padding_of(size));
}

/* 1: it was an extension and is done with, 0: it is an entry, -1. */
static int extend(struct tar *tar, const struct header *header, uint64_t size, struct tar_entry *entry,
                  struct extension *extension) {
  switch (header->type) {
    case 'x':
      entry->xattr_count = 0;
      if (take_extension(tar, size, tar->pax, TAR_PAX_MAX) != 0 ||
          parse_pax(tar->pax, (size_t)size, entry, extension) != 0)
        return -1;
      return 1;
    case 'g': /* of the whole archive: nothing that belongs to a layer */
      if (size > TAR_PAX_MAX) return fail_with(E2BIG, "read", "an extended header of the archive");
      return skip(tar, size + padding_of(size)) != 0 ? -1 : 1;
    case 'L':
      extension->has_path = true;
      return take_extension(tar, size, entry->path, TAR_PATH_MAX - 1) != 0 ? -1 : 1;
    case 'K':
      extension->has_link = true;
      return take_extension(tar, size, entry->link, TAR_PATH_MAX - 1) != 0 ? -1 : 1;
    default:
      return 0;
  }
}

static int type_of(const struct header *header, struct tar_entry *entry) {
  switch (header->type) {
    case '0':
    case '\0':
    case '7':
      entry->type = TAR_FILE;
      break;
    case '1':
      entry->type = TAR_HARD_LINK;
      break;
    case '2':
      entry->type = TAR_SYMLINK;
      break;
    case '3':
    case '4':
      entry->type = TAR_DEVICE;
      break;
    case '5':
      entry->type = TAR_DIRECTORY;
      break;
    case '6':
      entry->type = TAR_FIFO;
      break;
    default:
      return fail_with(EOPNOTSUPP, "read", "an entry of an unknown kind");
  }
  /* before there was a type for directories */
  size_t length = strlen(entry->path);
  if (header->type == '\0' && length > 0 && entry->path[length - 1] == '/') entry->type = TAR_DIRECTORY;
  return 0;
}

static int fill_in(const struct header *header, int64_t size, const struct extension *extension,
                   struct tar_entry *entry) {
  int64_t mode, uid, gid, modified;
  if (!number(header->mode, sizeof header->mode, &mode) || !number(header->uid, sizeof header->uid, &uid) ||
      !number(header->gid, sizeof header->gid, &gid) ||
      !number(header->mtime, sizeof header->mtime, &modified))
    return fail_with(EBADMSG, "read", "a header of the archive");
  if ((!extension->has_uid && (uid < 0 || uid >= UINT32_MAX)) ||
      (!extension->has_gid && (gid < 0 || gid >= UINT32_MAX)))
    return fail_with(EBADMSG, "read", "an owner in the archive");
  entry->mode = (uint32_t)mode & 07777;
  if (!extension->has_uid) entry->uid = (uint32_t)uid;
  if (!extension->has_gid) entry->gid = (uint32_t)gid;
  if (!extension->has_size) entry->size = (uint64_t)size;
  if (!extension->has_time) entry->modified = (struct timespec){.tv_sec = modified};
  if (!extension->has_link) {
    size_t length = bounded(header->link, sizeof header->link);
    memcpy(entry->link, header->link, length);
    entry->link[length] = '\0';
  }
  if (extension->has_path) return type_of(header, entry);
  size_t prefix = memcmp(header->magic, "ustar", 6) == 0 ? bounded(header->prefix, sizeof header->prefix) : 0,
         name = bounded(header->name, sizeof header->name);
  memcpy(entry->path, header->prefix, prefix);
  if (prefix > 0) entry->path[prefix++] = '/';
  memcpy(entry->path + prefix, header->name, name);
  entry->path[prefix + name] = '\0';
  return type_of(header, entry);
}

int tar_next(struct tar *tar, struct tar_entry *entry) {
  struct header header;
  struct extension extension = {0};
  entry->xattr_count = 0;
  if (skip(tar, tar->left) != 0 || skip(tar, tar->padding) != 0) return -1;
  tar->left = tar->padding = 0;
  for (int extensions = 0; extensions < 64;) {
    long got = take(tar, &header, sizeof header);
    if (got < 0) return -1;
    if (got == 0 && extensions == 0) return 0; /* some archives have no end mark */
    if (got != BLOCK) return fail_with(EBADMSG, "read", "an archive that ends in the middle");
    if (is_zero(&header))
      return extensions == 0 ? 0 : fail_with(EBADMSG, "read", "an extended header without an entry");
    int64_t size;
    if (!checksum_holds(&header) || !number(header.size, sizeof header.size, &size) || size < 0)
      return fail_with(EBADMSG, "read", "a header of the archive");
    int extended = extend(tar, &header, (uint64_t)size, entry, &extension);
    if (extended < 0) return -1;
    extensions += extended;
    if (extended > 0) continue;
    if (fill_in(&header, size, &extension, entry) != 0) return -1;
    /* links have no content, whatever they say; of anything else it is skipped */
    bool is_link = entry->type == TAR_HARD_LINK || entry->type == TAR_SYMLINK || entry->type == TAR_DIRECTORY;
    tar->left = is_link ? 0 : entry->size;
    tar->padding = padding_of(tar->left);
    return 1;
  }
  return fail_with(E2BIG, "read", "too many extended headers");
}

long tar_read(struct tar *tar, const unsigned char **data) {
  if (tar->left == 0) return 0;
  if (tar->start == tar->end) {
    long more = refill(tar);
    if (more < 0) return -1;
    if (more == 0) return fail_with(EBADMSG, "read", "an archive that ends in the middle");
  }
  size_t part = tar->end - tar->start;
  if (part > tar->left) part = (size_t)tar->left;
  *data = tar->buffer + tar->start;
  tar->start += part;
  tar->left -= part;
  return (long)part;
}

int tar_drain(struct tar *tar) {
  long more;
  do more = refill(tar);
  while (more > 0);
  return more < 0 ? -1 : 0;
}
