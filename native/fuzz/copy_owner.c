/* Whom a copy is for: the owner's text NUL passwd NUL group. */
#include "scratch.h"

#include "../copy/owner.h"

#include <errno.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct input input = {.at = data, .left = size};
  char *text = input_text(&input, '\0'), *passwd = input_text(&input, '\0'),
       *group = input_text(&input, '\0');
  uid_t uid = 7;
  gid_t gid = 7;
  int directory = scratch_open();
  scratch_write(directory, "passwd", passwd, strlen(passwd));
  scratch_write(directory, "group", group, strlen(group));
  errno = 0;
  bool known = owner_parse(text, scratch_path, &uid, &gid);
  const char *colon = strchr(text, ':');
  size_t length = colon == NULL ? strlen(text) : (size_t)(colon - text);
  if (known) {
    must((uid == (uid_t)-1) == (length == 0));
    must((gid == (gid_t)-1) == (colon == NULL || (colon[1] == '\0' && length == 0)));
  } else {
    must(errno == EINVAL || errno == ENOENT);
    must(length > 0 || (colon != NULL && colon[1] != '\0'));
  }
  /* root is nobody's by accident: only who says so, or has an account that does */
  if (known && uid == 0) must(strspn(text, "0") == length || strstr(passwd, ":0") != NULL);
  free(text);
  free(passwd);
  free(group);
  return 0;
}
