/*
 * The options of an overlay mount, taken apart to find its base and put together with another; and the map of
 * ids.
 */
#include "fuzz.h"

#include "../wshd/identity.h"
#include "../wshd/ownership.h"

static void check_data(struct input *input) {
  char *data = input_text(input, '\0'), *lower = input_text(input, '\0');
  char *base = ownership_overlay_base(data), *rebased = ownership_overlay_rebased(data, lower);
  if (base != NULL)
    must(strlen(base) <= strlen(data) && strstr(data, "lowerdir=") != NULL && rebased != NULL);
  if (rebased != NULL) {
    must(strlen(rebased) <= strlen(data) + strlen(lower) && strstr(rebased, lower) != NULL);
    /* a plain path comes back as it went in */
    if (strpbrk(lower, "\\,:") == NULL) {
      char *again = ownership_overlay_base(rebased);
      must(again != NULL && strcmp(again, lower) == 0);
      free(again);
    }
  }
  free(base);
  free(rebased);
  free(data);
  free(lower);
}

static void check_map(struct input *input) {
  struct id_map map = {0};
  /* as plan.c takes them: not empty, without wrapping, and four free places; here one after another */
  uint32_t inside = 0, outside = 100000;
  for (size_t i = input_byte(input) % (ID_RANGES_MAX - 4); i > 0; i--) {
    uint32_t count = 1 + input_number(input, 2), gap = input_byte(input) % 3;
    inside += gap;
    map.ranges[map.count++] = (struct id_range){inside, outside, count};
    inside += count;
    outside += count;
  }
  const struct id_map before = map;
  uint32_t one = input_number(input, 3), other = input_number(input, 3);
  if (id_map_swap(&map, one, other) != 0) return;
  must(map.count <= ID_RANGES_MAX);
  for (size_t i = 0; i < map.count; i++) must(map.ranges[i].count > 0);
  bool swapped = id_outside(&before, one) != ID_NONE && id_outside(&before, other) != ID_NONE;
  must(id_outside(&map, one) == id_outside(&before, swapped ? other : one));
  must(id_outside(&map, other) == id_outside(&before, swapped ? one : other));
  const uint32_t others[] = {0, one - 1, one + 1, other - 1, other + 1, input_number(input, 3)};
  for (size_t i = 0; i < sizeof others / sizeof *others; i++)
    if (others[i] != one && others[i] != other)
      must(id_outside(&map, others[i]) == id_outside(&before, others[i]));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct input input = {.at = data, .left = size};
  if (input_byte(&input) % 2 == 0) check_data(&input);
  else check_map(&input);
  return 0;
}
