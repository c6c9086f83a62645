/*
 * Paths of a copy below a root that somebody else has filled: how the destination is taken (a byte), then the
 * path.
 */
#include "copy_hostile.h"

#include "../copy/place.h"
#include "../copy/target.h"

static void check_below(int fd, const char *inside, const char *forbidden) {
  char link[64], path[4096], whole[160];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  must(length > 0);
  path[length] = '\0';
  size_t prefix = (size_t)snprintf(whole, sizeof whole, "%s%s", scratch_path, inside);
  must(strncmp(path, whole, prefix) == 0 && (path[prefix] == '\0' || path[prefix] == '/'));
  if (forbidden == NULL) return;
  prefix = strlen(forbidden);
  must(strncmp(path, forbidden, prefix) != 0 || (path[prefix] != '\0' && path[prefix] != '/'));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct input input = {.at = data, .left = size};
  struct place place;
  struct target target;
  char root[128], forbidden_path[128], name[COPY_NAME_MAX + 1];
  const char *operation = NULL;
  hostile_place();
  uint64_t before = open_descriptors();
  uint8_t how = input_byte(&input);
  char *path = input_text(&input, '\0'), *content = input_text(&input, '\0');
  snprintf(root, sizeof root, "%s/root", scratch_path);
  snprintf(forbidden_path, sizeof forbidden_path, "%s/root/forbidden", scratch_path);
  must(mkdirat(top, "root/forbidden", 0755) == 0 && symlinkat("forbidden", top, "root/alias") == 0);
  (void)!symlinkat(content, top, "root/dst/own");
  must(place_directory(&place, root) == 0);
  const char *const forbidden[] = {forbidden_path, NULL};
  int fd = place_open(&place, path, O_PATH);
  if (fd >= 0) {
    check_below(fd, "/root", NULL);
    close(fd);
  }
  fd = place_open_parent(&place, path, name);
  if (fd >= 0) {
    must(strlen(name) <= COPY_NAME_MAX && strchr(name, '/') == NULL);
    check_below(fd, "/root", NULL);
    close(fd);
  }
  if (target_open(&target, &place, path, how % 2 == 0, how % 4 < 2, forbidden, &operation) == 0) {
    must(strchr(target.name, '/') == NULL);
    check_below(target.directory, "/root", forbidden_path);
    close(target.directory);
  } else {
    must(operation != NULL && errno != 0);
  }
  close(place.root);
  free(path);
  free(content);
  outside_check(top, 2);
  must(open_descriptors() == before);
  return 0;
}
