/*
 * The account's lines in passwd and group of an image: only its own numbers change, whatever the files hold;
 * ids map back and forth.
 */
#include "scratch.h"

#include "../unpack/accounts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct input input = {.at = data, .left = size};
  struct accounts accounts = {0};
  size_t length;
  char ranges[128], name[32];
  const uint8_t *bytes = input_take(&input, input_byte(&input) % sizeof ranges, &length);
  memcpy(ranges, bytes, length);
  ranges[length] = '\0';
  bytes = input_take(&input, input_byte(&input) % sizeof name, &length);
  memcpy(name, bytes, length);
  name[length] = '\0';
  uint32_t uid = input_number(&input, 4);
  bytes = input_take(&input, input_number(&input, 2), &length);
  int top = scratch_open();
  const uint64_t before = open_descriptors();
  must(mkdirat(top, "etc", 0755) == 0);
  scratch_write(top, "etc/passwd", bytes, length);
  scratch_write(top, "etc/group", input.at, input.left);

  if (!accounts_parse(&accounts, ranges)) accounts.range_count = 0;
  must(accounts.range_count <= RANGES_MAX);
  const int layers[] = {top};
  must(accounts_find(&accounts, name, uid, layers, 1) == 0);
  /* a swap is its own inverse, and root is nobody's */
  const uint32_t mapped = accounts_uid(&accounts, uid);
  if (accounts.range_count == 0) must(accounts_uid(&accounts, mapped) == uid);
  if (accounts.user.is_set) must(accounts.user.image != 0 && accounts.user.image != uid);
  (void)accounts_gid(&accounts, uid);
  int etc = openat(top, "etc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  static const char *const files[] = {"passwd", "group"};
  for (size_t i = 0; i < 2; i++) {
    char *text = read_small(etc, files[i], 1 << 20);
    must(text != NULL);
    char *changed = accounts_renumber(&accounts, text, i == 1);
    if (changed != NULL) {
      /* as many lines as before, and those of others as they were */
      const char *old = text, *new = changed;
      while (*old != '\0' && *new != '\0') {
        size_t a = strcspn(old, "\n"), b = strcspn(new, "\n");
        bool is_own = strncmp(old, name, strlen(name)) == 0 && old[strlen(name)] == ':';
        must(is_own || (a == b && memcmp(old, new, a) == 0));
        old += a + (old[a] == '\n');
        new += b + (new[b] == '\n');
      }
      must(*old == '\0' && *new == '\0');
    }
    free(changed);
    free(text);
  }
  close(etc);
  must(read_small(top, "none", 10) == NULL && read_small(top, "etc", 10) == NULL);
  must(open_descriptors() == before);
  return 0;
}
