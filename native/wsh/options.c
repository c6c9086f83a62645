/* wsh, on the host: parses the command line. */
#include "options.h"

#include <string.h>

static bool is_in(const char *word, const char *const *list) {
  for (; *list; list++)
    if (strcmp(word, *list) == 0) return true;
  return false;
}

/*
 * After --rsh the words are what rsh(1) gets from programs that use it as a transport: flags, some with a
 * value, then the host. The host is the container at the end of the socket, whatever its name.
 */
static enum wsh_options_result parse_rsh(struct wsh_options *options, int argc, char **argv, int *at,
                                         const char **wrong) {
  static const char *const ignored[] = {"-4", "-6", "-d", "-n", NULL};

  while (*at < argc && argv[*at][0] == '-') {
    const char *word = argv[*at];
    if (is_in(word, ignored)) {
      *at += 1;
      continue;
    }
    if ((strcmp(word, "-l") != 0 && strcmp(word, "-t") != 0) || *at + 1 >= argc) {
      *wrong = word;
      return WSH_OPTIONS_INVALID;
    }
    if (word[1] == 'l') options->user = argv[*at + 1];
    *at += 2;
  }
  if (*at < argc) *at += 1;
  return WSH_OPTIONS_OK;
}

/* An option with a value. Answers false if the value is not acceptable. */
static bool take_value(struct wsh_options *options, const char *name, const char *value) {
  if (strcmp(name, "--socket") == 0) {
    options->socket = value;
    return true;
  }
  if (strcmp(name, "--user") == 0) {
    options->user = value;
    return true;
  }
  /* --env */
  const char *equals = strchr(value, '=');
  if (!equals || equals == value || options->environment_count == WSH_ENVIRONMENT_MAX) return false;
  options->environment[options->environment_count++] = value;
  return true;
}

enum wsh_options_result wsh_options_parse(struct wsh_options *options, int argc, char **argv,
                                          const char **wrong) {
  static const char *const with_value[] = {"--socket", "--user", "--env", NULL};
  static const char *const help[] = {"-h", "--help", NULL};
  int at = 1;

  memset(options, 0, sizeof(*options));
  options->user = "";
  while (at < argc && argv[at][0] == '-') {
    const char *word = argv[at];
    if (is_in(word, help)) return WSH_OPTIONS_HELP;
    if (strcmp(word, "--rsh") == 0) {
      at++;
      enum wsh_options_result result = parse_rsh(options, argc, argv, &at, wrong);
      if (result != WSH_OPTIONS_OK) return result;
      break;
    }
    if (!is_in(word, with_value) || at + 1 >= argc || !take_value(options, word, argv[at + 1])) {
      *wrong = word;
      return WSH_OPTIONS_INVALID;
    }
    at += 2;
  }
  options->command = argv + at;
  options->command_count = (size_t)(argc - at);
  return WSH_OPTIONS_OK;
}
