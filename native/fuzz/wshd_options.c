/*
 * wshd's command line: words that end with NUL. The directories it names are looked at, nothing else is
 * touched.
 */
#include "fuzz.h"

#include "../wshd/options.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct input input = {.at = data, .left = size};
  struct options options;
  char *argv[64] = {strdup("wshd")};
  int argc = 1;
  while (input.left > 0 && argc < 63) argv[argc++] = input_text(&input, '\0');
  int status = options_parse(&options, argc, argv);
  must(status == -1 || status == 0 || status == 1);
  if (status == -1) {
    must(options.sync_fd == -1 || (options.sync_fd >= 3 && options.sync_fd <= 65535));
    must(strlen(options.run) <= 255 && strlen(options.lib) <= 255 && strlen(options.root) <= 255 &&
         (options.title == NULL || strlen(options.title) <= 255));
  }
  for (int i = 0; i < argc; i++) free(argv[i]);
  return 0;
}
