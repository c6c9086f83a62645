/*
 * Runs a target over kept inputs, without libFuzzer: every argument is a file or a directory of files, by
 * default the target's corpus. Prints TAP.
 */
#include "fuzz.h"

#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>

#define INPUT_MAX ((size_t)1 << 20)

static unsigned count;

static void run_file(const char *path) {
  static uint8_t bytes[INPUT_MAX];
  FILE *file = fopen(path, "re");
  if (file == NULL) {
    fprintf(stderr, "%s: %s\n", path, strerror(errno));
    exit(2);
  }
  size_t length = fread(bytes, 1, sizeof bytes, file);
  fclose(file);
  uint8_t *exact = exact_copy(bytes, length);
  /* told before: a sanitizer ends the process */
  printf("# %s\n", path);
  fflush(stdout);
  LLVMFuzzerTestOneInput(exact, length);
  free(exact);
  printf("ok %u - %s\n", ++count, path);
}

static int by_name(const struct dirent **a, const struct dirent **b) {
  return strcmp((*a)->d_name, (*b)->d_name);
}

static void run(const char *path) {
  struct stat facts;
  struct dirent **entries;
  if (stat(path, &facts) == 0 && !S_ISDIR(facts.st_mode)) {
    run_file(path);
    return;
  }
  int found = scandir(path, &entries, NULL, by_name);
  if (found < 0) {
    fprintf(stderr, "%s: %s\n", path, strerror(errno));
    exit(2);
  }
  for (int i = 0; i < found; i++) {
    char name[4096];
    snprintf(name, sizeof name, "%s/%s", path, entries[i]->d_name);
    if (entries[i]->d_name[0] != '.') run_file(name);
    free(entries[i]);
  }
  free(entries);
}

int main(int argc, char **argv) {
#ifdef FUZZ_NEEDS_KERNEL
  /* an emulator of foreign programs does not know the newer system calls */
  if (getenv("WARDEN_TEST_EMULATED") != NULL) {
    puts("1..0 # SKIP needs the kernel itself");
    return 0;
  }
#endif
  for (int i = 1; i < argc; i++) run(argv[i]);
  if (argc < 2) run(FUZZ_CORPUS);
  printf("1..%u\n", count);
  return count > 0 ? 0 : 1;
}
