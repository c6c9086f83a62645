/*
 * An archive of anybody becomes a layer, the layer is captured as one of an image, and that is put upon a
 * whole tree: nothing beside these trees is touched, whatever the archive names and whatever links it brings
 * or finds.
 */
#include "outside.h"
#include "tar_fields.h"

#include "../unpack/accounts.h"
#include "../unpack/capture.h"
#include "../unpack/failure.h"
/* what it keeps for the end of an archive that never comes */
#include "../unpack/layer.c"

#include <limits.h>
#include <sys/mman.h>

#define BLOCK 512

static const char *const TREES[] = {"layer", "image", "whole"};

/* Up to the end of a block. */
static void put(int archive, const void *bytes, size_t length) {
  static const unsigned char zeros[BLOCK];
  must(write(archive, bytes, length) == (ssize_t)length);
  size_t padding = (BLOCK - length % BLOCK) % BLOCK;
  must(write(archive, zeros, padding) == (ssize_t)padding);
}

/*
 * An entry is a byte (its low half: the kind; 15: bytes as they are; bit 4: a wrong checksum; bit 5: a size
 * of its own), two bytes mode, one byte owner, a name, a link, and content, each with its length in a byte.
 */
static void say(struct input *input, int archive) {
  unsigned char header[BLOCK] = {0};
  size_t length;
  uint8_t kind = input_byte(input);
  if ((kind & 15) == 15) {
    const uint8_t *piece = input_take(input, input_byte(input), &length);
    must(write(archive, piece, length) == (ssize_t)length);
    return;
  }
  put_octal(header + 100, 8, input_number(input, 2) & 07777);
  put_octal(header + 108, 8, input_byte(input));
  put_octal(header + 116, 8, 0);
  put_octal(header + 136, 12, 10);
  const uint8_t *name = input_take(input, input_byte(input) % 101, &length);
  memcpy(header, name, length);
  const uint8_t *link = input_take(input, input_byte(input) % 101, &length);
  memcpy(header + 157, link, length);
  const uint8_t *content = input_take(input, input_byte(input), &length);
  put_octal(header + 124, 12, kind & 32 ? input_number(input, 3) : length);
  header[156] = (unsigned char)TAR_KINDS[kind & 15];
  memcpy(header + 257, "ustar\00000", 8);
  put_checksum(header, kind & 16 ? 1 : 0);
  put(archive, header, BLOCK);
  if (length > 0) put(archive, content, length);
}

static int open_tree(int top, const char *name) {
  int fd = openat(top, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  must(fd >= 0);
  return fd;
}

static void begin(struct tree *tree, int root) {
  *tree = (struct tree){.root = root, .deeper = -1, .bytes_max = 1 << 20, .entries_max = 200};
}

static void end(struct tree *tree) {
  tree_forget(tree);
  must(tree->entries <= tree->entries_max + 1);
  for (struct directory_time *next; times != NULL; times = next) {
    next = times->next;
    free(times);
  }
  times_size = 0;
}

/* Of devices there is only the one that hides; and in what is whole nothing is hidden. */
static void check_made(const struct found *found, const void *rule) {
  const mode_t mode = found->facts.st_mode;
  const bool *is_whole = rule;
  must(!S_ISBLK(mode) && !S_ISSOCK(mode));
  if (S_ISCHR(mode)) must(found->facts.st_rdev == 0 && !*is_whole);
  if (found->inner >= 0) must(!*is_whole || fgetxattr(found->inner, "trusted.overlay.opaque", NULL, 0) < 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const char zeros[2 * BLOCK];
  struct input input = {.at = data, .left = size};
  struct tree tree;
  struct accounts accounts = {0};
  char up[128];
  uint8_t how = input_byte(&input);
  int top = scratch_open(), roots[3];
  const uint64_t before = open_descriptors();
  outside_make(top);
  for (size_t i = 0; i < 3; i++) {
    must(mkdirat(top, TREES[i], 0755) == 0);
    roots[i] = open_tree(top, TREES[i]);
  }
  /* what a path could lead out by */
  snprintf(up, sizeof up, "%s/outside", scratch_path);
  must(symlinkat(up, roots[2], "up") == 0 && symlinkat("../outside/secret", roots[2], "secret") == 0 &&
       mkdirat(roots[2], "dir", 0755) == 0);
  if (how & 1)
    must(symlinkat("../outside", roots[0], "up") == 0 &&
         symlinkat("../outside/secret", roots[0], "secret") == 0);
  int archive = memfd_create("archive", MFD_CLOEXEC);
  must(archive >= 0);
  for (int count = 0; input.left > 0 && count < 100; count++) say(&input, archive);
  if (how & 2) must(write(archive, zeros, sizeof zeros) == (ssize_t)sizeof zeros);
  must(lseek(archive, 0, SEEK_SET) == 0);

  failure.error = 0;
  begin(&tree, roots[0]);
  int result = layer_unpack(&tree, archive);
  must((result == 0) == (failure.error == 0));
  end(&tree);
  look_through(roots[0], PATH_MAX, check_made, &(const bool){false});
  failure.error = 0;
  begin(&tree, roots[1]);
  result = capture(&tree, roots[0], &accounts);
  must((result == 0) == (failure.error == 0));
  end(&tree);
  failure.error = 0;
  begin(&tree, roots[2]);
  result = apply(&tree, roots[1]);
  must((result == 0) == (failure.error == 0));
  end(&tree);
  look_through(roots[2], PATH_MAX, check_made, &(const bool){true});
  outside_check(top, 4);

  close(archive);
  for (size_t i = 0; i < 3; i++) close(roots[i]);
  must(open_descriptors() == before);
  return 0;
}
