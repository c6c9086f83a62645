#include "pipe.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MEBIBYTE ((size_t)1 << 20)
#define FILE_MEBIBYTES 64

static unsigned char memory[MEBIBYTE];

static bool fill(int fd, size_t bytes) {
  while (bytes > 0) {
    ssize_t count = write(fd, memory, bytes < MEBIBYTE ? bytes : MEBIBYTE);
    if (count <= 0) return false;
    bytes -= (size_t)count;
  }
  return true;
}

static bool lend(int file, int fd, size_t bytes) {
  for (off_t at = 0; bytes > 0;) {
    if ((size_t)at == FILE_MEBIBYTES * MEBIBYTE) at = 0;
    size_t left = FILE_MEBIBYTES * MEBIBYTE - (size_t)at;
    ssize_t count = sendfile(fd, file, &at, bytes < left ? bytes : left);
    if (count <= 0) return false;
    bytes -= (size_t)count;
  }
  return true;
}

/* Bytes until the end. */
static size_t drain(int fd) {
  size_t all = 0;
  for (ssize_t count; (count = read(fd, memory, MEBIBYTE)) > 0;) all += (size_t)count;
  return all;
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* From the file, or without one. */
static double measure(int file, size_t bytes) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return -errno;
  fcntl(ends[1], F_SETPIPE_SZ, (int)MEBIBYTE);
  double began = now();
  pid_t writer = fork();
  if (writer == 0) {
    close(ends[0]);
    _exit((file < 0 ? fill(ends[1], bytes) : lend(file, ends[1], bytes)) ? 0 : 1);
  }
  close(ends[1]);
  size_t taken = writer < 0 ? 0 : drain(ends[0]);
  double seconds = now() - began;
  close(ends[0]);
  if (writer > 0) waitpid(writer, NULL, 0);
  return taken == bytes ? (double)bytes / 1e9 / seconds : -EIO;
}

double pipe_rate(const char *directory, bool is_lent, unsigned mebibytes) {
  memset(memory, 1, MEBIBYTE); // pages of its own, not the one that the kernel has for zeros
  if (!is_lent) return measure(-1, mebibytes * MEBIBYTE);
  int file = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (file < 0) return -errno;
  double rate = fill(file, FILE_MEBIBYTES * MEBIBYTE) ? measure(file, mebibytes * MEBIBYTE) : -EIO;
  close(file);
  return rate;
}
