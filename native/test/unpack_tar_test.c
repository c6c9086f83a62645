/*
 * The reader of archives, on bytes that were made wrong on purpose: it answers with a failure, or with
 * entries within their bounds.
 */
#include "failure.h"
#include "tar.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int number, failed;

static void check(bool holds, const char *what) {
  printf("%s %d - %s\n", holds ? "ok" : "not ok", ++number, what);
  if (!holds) failed = 1;
}

static unsigned char archive[8192];

/* A header with its sum, at a block. */
static void put(size_t block, const char *name, char type, const char *size) {
  unsigned char *at = archive + block * 512;
  memset(at, 0, 512);
  memcpy(at, name, strlen(name));
  memcpy(at + 100, "0000644\0", 8);
  memcpy(at + 108, "0000001\0", 8);
  memcpy(at + 116, "0000002\0", 8);
  memcpy(at + 124, size, 12);
  memcpy(at + 136, "00000000012\0", 12);
  at[156] = (unsigned char)type;
  memcpy(at + 257, "ustar\00000", 8);
  memset(at + 148, ' ', 8);
  unsigned sum = 0;
  for (size_t i = 0; i < 512; i++) sum += at[i];
  char text[8];
  snprintf(text, sizeof text, "%06o", sum);
  memcpy(at + 148, text, 7);
}

static struct tar tar;
static struct tar_entry entry;

/* Reads `length` bytes of it to the end or the first failure: how many entries, -1. */
static int read_all(size_t length) {
  int pipes[2], count = 0, more;
  failure.error = 0;
  if (pipe(pipes) != 0 || write(pipes[1], archive, length) != (ssize_t)length) return -2;
  close(pipes[1]);
  if (tar_open(&tar, pipes[0]) != 0) return -2;
  while ((more = tar_next(&tar, &entry)) > 0) count++;
  tar_close(&tar);
  close(pipes[0]);
  return more < 0 ? -1 : count;
}

int main(void) {
  memset(archive, 0, sizeof archive);
  put(0, "a/file", '0', "00000000005\0");
  memcpy(archive + 512, "hello", 5);
  check(read_all(4096) == 1 && strcmp(entry.path, "a/file") == 0 && entry.size == 5 && entry.uid == 1 &&
            entry.gid == 2,
        "an entry is read");
  check(entry.modified.tv_sec == 10 && entry.mode == 0644, "with time and mode");
  check(read_all(1024) == 1, "an archive may end without its mark");
  for (size_t cut = 1; cut < 1024; cut += 7)
    if (cut != 512 && read_all(cut) != -1) check(false, "an archive that is cut is refused");
  archive[3] ^= 1;
  check(read_all(4096) == -1, "a header whose sum is wrong is refused");
  put(0, "x", '0', "77777777777\0");
  check(read_all(4096) == -1, "a size that is not there is refused");
  put(0, "x", '0', "\200\377\377\377\377\377\377\377\377\377\377\377");
  check(read_all(4096) == -1, "a number of more than 63 bits is refused");
  put(0, "x", '0', "-0000000001\0");
  check(read_all(4096) == -1, "a negative size is refused");
  put(0, "x", '0', "\200\0\0\0\0\0\0\0\0\0\0\5");
  check(read_all(4096) == 1 && entry.size == 5, "a large number in GNU's form is read");

  put(0, "pax", 'x', "00000000024\0");
  memcpy(archive + 512, "20 path=some/thing.\n", 20);
  put(2, "short", '0', "00000000000\0");
  check(read_all(4096) == 1 && strcmp(entry.path, "some/thing.") == 0,
        "an extended header names the next entry");
  static const char *const wrong[] = {"99 path=some/thing.\n", "0 path=some/thing...\n",
                                      "20 path=some/thing..",  "20=path=some/thing.\n",
                                      "x0 path=some/thing.\n", "20 path:some/thing.\n"};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    memcpy(archive + 512, wrong[i], 20);
    check(read_all(4096) == -1, "a damaged extended header is refused");
  }
  put(0, "long", 'L', "00000010000\0"); /* 4096 bytes: one more than a path can have */
  check(read_all(8192) == -1, "a name longer than a path is refused");
  put(0, "pax", 'x', "77777777777\0");
  check(read_all(4096) == -1, "an extended header of gigabytes is refused");
  put(0, "x", 'S', "00000000000\0");
  check(read_all(4096) == -1, "a sparse file is refused");
  /* every byte of a header, turned: never more than the bounds, and no finding of the sanitizers */
  put(0, "pax", 'x', "00000000024\0");
  memcpy(archive + 512, "20 path=some/thing.\n", 20);
  for (size_t i = 0; i < 1536; i++)
    for (unsigned bit = 1; bit < 256; bit <<= 3) {
      archive[i] ^= (unsigned char)bit;
      read_all(4096);
      archive[i] ^= (unsigned char)bit;
    }
  check(strlen(entry.path) < TAR_PATH_MAX && entry.xattr_count <= TAR_XATTRS_MAX, "turned bits lead nowhere");
  printf("1..%d\n", number);
  return failed;
}
