/*
 * Paths below a root that somebody else has filled. Each step is one byte that says what is done, then a text
 * that ends with 0. First links and directories are made as the image would hold them, then the functions are
 * called that init calls. Nothing outside the root may change, and nothing of it be found.
 */
#include "scratch.h"

#include "../wshd/inroot.h"

#include <errno.h>

#define SECRET "outside"

static int outside, root;

static void start(void) {
  outside = scratch_open();
  scratch_write(outside, "secret", SECRET, sizeof SECRET);
  must(mkdirat(outside, "directory", 0755) == 0 && mkdirat(outside, "root", 0755) == 0);
  root = openat(outside, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
  must(root >= 0);
  /* what a path could lead out by */
  char up[128];
  snprintf(up, sizeof up, "%s/secret", scratch_path);
  must(symlinkat(up, root, "absolute") == 0 && symlinkat("../secret", root, "relative") == 0 &&
       symlinkat("../directory", root, "up") == 0);
  must(symlinkat("loop", root, "loop") == 0 && symlinkat("/", root, "top") == 0 &&
       symlinkat("/proc/self/root", root, "magic") == 0);
  must(mkdirat(root, "dir", 0755) == 0 && mkfifoat(root, "fifo", 0644) == 0);
  scratch_write(root, "file", "file", 4);
}

/* Which directory a descriptor is, or is in, must lie below the root: going up from it ends there. */
static void check_below(int fd) {
  char link[64], path[4096], top[128];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  must(length > 0);
  path[length] = '\0';
  size_t prefix = (size_t)snprintf(top, sizeof top, "%s/root", scratch_path);
  must(strncmp(path, top, prefix) == 0 && (path[prefix] == '\0' || path[prefix] == '/'));
}

static void check_outside(void) {
  struct stat facts;
  must(scratch_holds(outside, "secret", SECRET, sizeof SECRET));
  must(fstatat(outside, "directory", &facts, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(facts.st_mode) &&
       facts.st_nlink == 2 && (facts.st_mode & 07777) == 0755);
  /* secret, directory, root and nothing more */
  int copy = openat(outside, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), count = 0;
  DIR *list = fdopendir(copy);
  must(list != NULL);
  while (readdir(list) != NULL) count++;
  closedir(list);
  must(count == 5);
  must(fstatat(outside, "directory/x", &facts, 0) != 0);
}

static void take_fd(int fd) {
  if (fd < 0) return;
  check_below(fd);
  close(fd);
}

static void step(uint8_t kind, const char *text) {
  char name[256];
  size_t length;
  switch (kind % 8) {
    case 0: {
      const char *colon = strchr(text, ':');
      if (colon == NULL || (size_t)(colon - text) >= sizeof name) break;
      memcpy(name, text, (size_t)(colon - text));
      name[colon - text] = '\0';
      if (strchr(name, '/') == NULL && strcmp(name, "..") != 0) (void)!symlinkat(colon + 1, root, name);
      break;
    }
    case 1:
      take_fd(inroot_open(root, text, O_PATH, 0));
      break;
    case 2: {
      int parent = inroot_parent(root, text, name, sizeof name);
      if (parent >= 0) must(name[0] != '\0' && strchr(name, '/') == NULL);
      take_fd(parent);
      break;
    }
    case 3:
    case 4:
      take_fd(inroot_make(root, text, kind % 8 == 3));
      break;
    case 5:
      inroot_replace(root, text, 0644, "new", 3);
      break;
    default: {
      char *content = inroot_read(root, text, 64, &length);
      if (content != NULL) must(length <= 64 && content[length] == '\0' && strstr(content, SECRET) == NULL);
      free(content);
    }
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct input input = {.at = data, .left = size};
  start();
  uint64_t before = open_descriptors();
  for (int steps = 0; steps < 12 && input.left > 0; steps++) {
    uint8_t kind = input_byte(&input);
    char *text = input_text(&input, '\0');
    step(kind, text);
    free(text);
  }
  must(open_descriptors() == before);
  check_outside();
  close(root);
  return 0;
}
