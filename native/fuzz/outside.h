/*
 * What lies beside the trees that a target works in, which it must neither read nor change; and a look at
 * what it has made in them.
 */
#ifndef FUZZ_OUTSIDE_H
#define FUZZ_OUTSIDE_H

#include "scratch.h"

#define SECRET "outside"

static inline void outside_make(int top) {
  must(mkdirat(top, "outside", 0755) == 0);
  scratch_write(top, "outside/secret", SECRET, sizeof SECRET);
}

/* With `.` and `..`. */
static inline size_t count_entries(int directory) {
  size_t count = 0;
  int copy = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *list = copy < 0 ? NULL : fdopendir(copy);
  must(list != NULL);
  while (readdir(list) != NULL) count++;
  closedir(list);
  return count;
}

/*
 * Only `secret` is outside, unchanged, and of what is in the scratch directory there are as many as before,
 * `all`.
 */
static inline void outside_check(int top, size_t all) {
  struct stat facts;
  int outside = openat(top, "outside", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  must(outside >= 0 && count_entries(outside) == 3 &&
       scratch_holds(outside, "secret", SECRET, sizeof SECRET));
  must(fstat(outside, &facts) == 0 && (facts.st_mode & 07777) == 0755 && facts.st_nlink == 2);
  must(fstatat(outside, "secret", &facts, AT_SYMLINK_NOFOLLOW) == 0 && (facts.st_mode & 07777) == 0644 &&
       facts.st_nlink == 1 && facts.st_uid == getuid());
  close(outside);
  must(count_entries(top) == all + 2);
}

/* Something in a tree; `inner`: of a directory that can be opened, else -1. */
struct found {
  const char *name;
  struct stat facts;
  int inner;
};

/* Has everything in a tree checked, which is not more than `depth` deep. */
static inline void look_through(int directory, unsigned depth,
                                void (*check)(const struct found *found, const void *rule),
                                const void *rule) {
  int copy = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *list = copy < 0 ? NULL : fdopendir(copy);
  must(list != NULL && depth > 0);
  for (struct dirent *entry; (entry = readdir(list)) != NULL;) {
    struct found found = {.name = entry->d_name, .inner = -1};
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    must(fstatat(directory, entry->d_name, &found.facts, AT_SYMLINK_NOFOLLOW) == 0);
    if (S_ISDIR(found.facts.st_mode))
      found.inner = openat(directory, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    check(&found, rule);
    if (found.inner < 0) continue;
    look_through(found.inner, depth - 1, check, rule);
    close(found.inner);
  }
  closedir(list);
}

#endif
