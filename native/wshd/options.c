#include "options.h"

#include "failpoint.h"
#include "format.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ARGUMENT_MAX 255

static int refuse(const char *program, const char *what, const char *word) {
  complain("%s: %s -- %s\nTry `%s --help' for more information.\n", program, what, word, program);
  return 1;
}

static int usage(const char *program) {
  complain("Usage: %s [OPTION]...\n\n"
           "  --run DIR     directory of the socket wshd.sock (run)\n"
           "  --lib DIR     directory of the hooks (lib)\n"
           "  --root DIR    directory that becomes the root (root)\n"
           "  --title NAME  process title of init\n"
           "  --insecure    plain processes without any isolation\n"
           "  --sync-fd N   descriptor of the daemon's channel; signals are at their defaults\n"
           "  --early       waits for the daemon to say that the directory is complete\n"
           "  --list-failpoints\n"
           "                names of the places where a test can make it fail\n"
           "  --help        this text\n",
           program);
  return 0;
}

static int directory(const char *path) {
  struct stat facts;
  bool exists = stat(path, &facts) == 0;
  if (exists && S_ISDIR(facts.st_mode)) return -1;
  complain("stat(\"%s\"): %s\n", path, exists ? "No such directory" : strerror(errno));
  return 1;
}

int options_parse(struct options *options, int argc, char **argv) {
  *options = (struct options){.run = "run", .lib = "lib", .root = "root", .sync_fd = -1};
  const char *sync = NULL;
  const struct {
    const char *word;
    const char **value;
  } known[] = {{"--run", &options->run},
               {"--lib", &options->lib},
               {"--root", &options->root},
               {"--title", &options->title},
               {"--sync-fd", &sync}};
  for (int i = 1; i < argc; i++) {
    if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) return usage(argv[0]);
    if (strcmp(argv[i], "--list-failpoints") == 0) {
      failpoints_list();
      return 0;
    }
    if (strcmp(argv[i], "--insecure") == 0) {
      options->insecure = true;
      continue;
    }
    if (strcmp(argv[i], "--early") == 0) {
      options->early = true;
      continue;
    }
    size_t k = 0;
    while (k < sizeof known / sizeof *known && strcmp(argv[i], known[k].word) != 0) k++;
    if (k == sizeof known / sizeof *known || i + 1 == argc) return refuse(argv[0], "invalid option", argv[i]);
    if (strlen(argv[i + 1]) > ARGUMENT_MAX) return refuse(argv[0], "argument too long", argv[i]);
    *known[k].value = argv[++i];
  }
  if (sync != NULL) {
    uint64_t fd;
    if (!parse_number(sync, strlen(sync), 10, 65535, &fd) || fd < 3)
      return refuse(argv[0], "invalid argument", "--sync-fd");
    options->sync_fd = (int)fd;
  }
  if (options->early && options->sync_fd < 0) return refuse(argv[0], "option needs --sync-fd", "--early");
  return options->early ? -1 : options_check(options);
}

int options_check(const struct options *options) {
  int status = directory(options->run);
  if (status < 0 && !options->insecure) status = directory(options->lib);
  if (status < 0) status = directory(options->root);
  return status;
}
