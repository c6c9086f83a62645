#include "transfer.h"

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#define PART ((size_t)1 << 30)

enum way { BY_RANGE, BY_SENDFILE, BY_BUFFER };

bool transfer_accepts(int fd) {
  /* proc, sys, cgroup, cgroup2, debug, trace, security, selinux, smack, bpf, config, efivar, pstore */
  static const uint32_t switches[] = {0x9fa0,     0x62656572, 0x27e0eb,   0x63677270, 0x64626720,
                                      0x74726163, 0x73636673, 0xf97cff8c, 0x43415d53, 0xcafe4a11,
                                      0x62656570, 0xde5e81e4, 0x6165676c};
  struct stat facts;
  struct statfs system;
  bool accepted = fstat(fd, &facts) == 0 && S_ISREG(facts.st_mode) && fstatfs(fd, &system) == 0;
  for (size_t i = 0; accepted && i < sizeof switches / sizeof *switches; i++)
    accepted = (uint32_t)system.f_type != switches[i];
  if (!accepted) errno = EPROTO;
  return accepted;
}

/* Where `in` has data from `offset` on: [*start, *end). */
static void find_data(int in, off_t offset, off_t size, off_t *start, off_t *end) {
  *start = lseek(in, offset, SEEK_DATA);
  if (*start < 0 && errno == ENXIO) {
    /* only a hole is left, or nothing: it may have shrunk, or never have been as long as was said */
    struct stat facts;
    *start = fstat(in, &facts) != 0 || facts.st_size < offset ? offset
             : facts.st_size < size                           ? facts.st_size
                                                              : size;
    *end = *start;
    return;
  }
  if (*start < offset) *start = offset; /* no such knowledge here */
  if (*start >= size) {
    *start = *end = size;
    return;
  }
  *end = lseek(in, *start, SEEK_HOLE);
  if (*end <= *start || *end > size) *end = size;
}

/* Through memory. This way tells whether reading or writing failed. */
static ssize_t copy_buffer(int in, int out, off_t offset, size_t size, bool *is_writing) {
  static unsigned char buffer[262144];
  ssize_t got = pread(in, buffer, size < sizeof buffer ? size : sizeof buffer, offset);
  *is_writing = false;
  if (got <= 0) return got;
  *is_writing = true;
  for (ssize_t done = 0; done < got;) {
    ssize_t count = pwrite(out, buffer + done, (size_t)(got - done), offset + done);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return -1;
    done += count;
  }
  return got;
}

/*
 * One step. Answers the bytes, 0 at the end of the file, -1 with errno. A way that fails is left for the next
 * one, which may succeed.
 */
static ssize_t copy_part(int in, int out, off_t offset, size_t size, enum way *way, bool *is_writing) {
  off_t from = offset, to = offset;
  if (size > PART) size = PART;
  if (*way == BY_RANGE) {
    ssize_t count = copy_file_range(in, &from, out, &to, size, 0);
    if (count > 0 || (count < 0 && errno == EINTR)) return count;
    *way = BY_SENDFILE; /* 0 also comes from files that only pretend to be empty */
  }
  if (*way == BY_SENDFILE) {
    ssize_t count = lseek(out, offset, SEEK_SET) == offset ? sendfile(out, in, &from, size) : -1;
    if (count > 0 || (count < 0 && errno == EINTR)) return count;
    *way = BY_BUFFER;
  }
  return copy_buffer(in, out, offset, size, is_writing);
}

struct transfer_result transfer(int in, int out, off_t size) {
  struct transfer_result result = {0};
  enum way way = BY_RANGE;
  off_t offset = 0;
  while (offset < size) {
    off_t start, end;
    find_data(in, offset, size, &start, &end);
    offset = start;
    while (offset < end) {
      ssize_t count = copy_part(in, out, offset, (size_t)(end - offset), &way, &result.is_writing);
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) result.error = errno;
      if (count <= 0) break;
      offset += count;
    }
    if (result.error != 0) return result;
    if (start == end || offset < end) break; /* no data are left, or it has shrunk */
  }
  result.is_writing = true;
  /* a hole at the end; and when it has shrunk, no more than there was */
  if (ftruncate(out, offset) != 0) result.error = errno;
  return result;
}
