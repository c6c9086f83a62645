/*
 * warden-unpack: makes the trees of images, confined to them (confine.h).
 *
 *   warden-unpack layer TARGET BYTES ENTRIES
 *     the archive on standard input becomes a layer
 *   warden-unpack capture TARGET BYTES ENTRIES FROM IDS NAME UID [LAYER ...]
 *     a container's writable layer becomes one of an image
 *   warden-unpack apply TARGET BYTES ENTRIES FROM
 *     a layer is put upon a whole tree
 *
 * TARGET is an existing directory, empty but for `apply`. BYTES and ENTRIES are what it may take at most. IDS
 * is how the container's ids are on the host's disk, `INSIDE:OUTSIDE:COUNT,...`; NAME is the account that has
 * the number UID in the container, and another one, perhaps, in the layers below, the uppermost first.
 *
 * Descriptor 3 is where the result goes: fields, each ended by a zero: `ok`, bytes, entries, what was left
 * out, and 1 when nothing of the layers below is to be seen; or `error`, errno, operation, path.
 */
#include "accounts.h"
#include "capture.h"
#include "confine.h"
#include "failure.h"
#include "layer.h"
#include "result_field.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#define RESULT_FD 3

static bool number_of(const char *text, uint64_t *value) {
  char *end;
  errno = 0;
  *value = strtoull(text, &end, 10);
  return text[0] >= '0' && text[0] <= '9' && *end == '\0' && errno == 0;
}

static int report(const struct tree *tree, int result) {
  char line[sizeof failure.path + 256], number[32];
  size_t length;
  if (result == 0) {
    const uint64_t numbers[] = {tree->bytes, tree->entries, tree->skipped, tree->hides_below};
    length = result_field(line, sizeof line, "ok");
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
      snprintf(number, sizeof number, "%llu", (unsigned long long)numbers[i]);
      length += result_field(line + length, sizeof line - length, number);
    }
  } else {
    length = result_field(line, sizeof line, "error");
    snprintf(number, sizeof number, "%d", failure.error);
    length += result_field(line + length, sizeof line - length, number);
    length += result_field(line + length, sizeof line - length, failure.operation);
    length += result_field(line + length, sizeof line - length, failure.path);
  }
  ssize_t written;
  do written = write(RESULT_FD, line, length);
  while (written < 0 && errno == EINTR);
  return result == 0 && written == (ssize_t)length ? 0 : 1;
}

static int usage(void) {
  static const char text[] =
      "usage: warden-unpack layer TARGET BYTES ENTRIES\n"
      "       warden-unpack capture TARGET BYTES ENTRIES FROM IDS NAME UID [LAYER ...]\n"
      "       warden-unpack apply TARGET BYTES ENTRIES FROM\n";
  return write(STDERR_FILENO, text, sizeof text - 1) < 0 ? 3 : 2;
}

static int work(const char *mode, struct tree *tree, const int *trees, size_t count, char **argv) {
  struct accounts accounts = {0};
  uint64_t uid;
  if (strcmp(mode, "layer") == 0) return layer_unpack(tree, STDIN_FILENO);
  if (strcmp(mode, "apply") == 0) return apply(tree, trees[1]);
  if (!accounts_parse(&accounts, argv[6]) || !number_of(argv[8], &uid) || uid >= UINT32_MAX)
    return fail_with(EINVAL, "read", "the arguments");
  if (argv[7][0] != '\0') accounts_find(&accounts, argv[7], (uint32_t)uid, trees + 2, count - 2);
  return capture(tree, trees[1], &accounts);
}

/* Whoever starts this process takes it along; one that was killed before that has hung up. */
static bool tie_to_parent(void) {
  struct pollfd result = {.fd = RESULT_FD, .events = 0};
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  return poll(&result, 1, 0) == 0;
}

int main(int argc, char **argv) {
  static struct tree tree = {.root = -1, .deeper = -1};
  static int trees[TREES_MAX];
  const char *paths[TREES_MAX];
  if (!tie_to_parent()) return 1; /* nobody reads the result */
  prctl(PR_SET_DUMPABLE, 0);
  const char *mode = argc > 1 ? argv[1] : "";
  bool is_layer = strcmp(mode, "layer") == 0 && argc == 5, is_apply = strcmp(mode, "apply") == 0 && argc == 6;
  bool is_capture = strcmp(mode, "capture") == 0 && argc >= 9 && argc - 9 + 2 <= TREES_MAX;
  if (!is_layer && !is_apply && !is_capture) return usage();
  if (!number_of(argv[3], &tree.bytes_max) || !number_of(argv[4], &tree.entries_max)) return usage();
  size_t count = 0;
  paths[count++] = argv[2];
  if (!is_layer) paths[count++] = argv[5];
  for (int i = 9; is_capture && i < argc; i++) paths[count++] = argv[i];
  int result = confine(paths, count, trees);
  tree.root = trees[0];
  if (result == 0) result = work(mode, &tree, trees, count, argv);
  /* it is only complete when it is on the disk */
  if (result == 0 && syncfs(tree.root) != 0) result = fail("write", "the disk");
  return report(&tree, result);
}
