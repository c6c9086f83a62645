/* A directory of the target's own, emptied before each run. */
#ifndef FUZZ_SCRATCH_H
#define FUZZ_SCRATCH_H

#include "fuzz.h"

#include <dirent.h>
#include <sys/stat.h>

static char scratch_path[64];

static inline void scratch_empty(int directory) {
  int copy = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *list = copy < 0 ? NULL : fdopendir(copy);
  must(list != NULL);
  for (struct dirent *entry; (entry = readdir(list)) != NULL;) {
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    if (unlinkat(directory, entry->d_name, 0) == 0) continue;
    fchmodat(directory, entry->d_name, 0700, 0);
    int inner = openat(directory, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (inner < 0) continue;
    scratch_empty(inner);
    close(inner);
    unlinkat(directory, entry->d_name, AT_REMOVEDIR);
  }
  closedir(list);
}

static inline void scratch_remove(void) {
  int directory = open(scratch_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory < 0) return;
  scratch_empty(directory);
  close(directory);
  rmdir(scratch_path);
}

/* An open descriptor of it. In memory where there is such a place: these are many runs. */
static inline int scratch_open(void) {
  static int directory = -1;
  if (directory < 0) {
    struct stat facts;
    snprintf(scratch_path, sizeof scratch_path, "%s/warden-fuzz-XXXXXX",
             stat("/dev/shm", &facts) == 0 && access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    must(mkdtemp(scratch_path) != NULL);
    atexit(scratch_remove);
    directory = open(scratch_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    must(directory >= 0);
  }
  scratch_empty(directory);
  return directory;
}

static inline void scratch_write(int directory, const char *name, const void *bytes, size_t length) {
  int fd = openat(directory, name, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0644);
  must(fd >= 0 && write(fd, bytes, length) == (ssize_t)length);
  close(fd);
}

/* Whether a file still holds just this. */
static inline bool scratch_holds(int directory, const char *name, const void *bytes, size_t length) {
  char content[256];
  int fd = openat(directory, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return false;
  ssize_t got = read(fd, content, sizeof content);
  close(fd);
  return got == (ssize_t)length && memcmp(content, bytes, length) == 0;
}

#endif
