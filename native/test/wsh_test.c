/* Unit test (TAP) of wsh's command line and messages. */
#include <stdio.h>
#include <string.h>

#include "message.h"
#include "options.h"

static int count, failed;

static void check(bool ok, const char *what) {
  count++;
  if (!ok) failed++;
  printf("%sok %d - %s\n", ok ? "" : "not ", count, what);
}

#define PARSE(...)                                                                                           \
  char *argv[] = {"wsh", __VA_ARGS__};                                                                       \
  struct wsh_options o;                                                                                      \
  const char *wrong = NULL;                                                                                  \
  enum wsh_options_result r = wsh_options_parse(&o, (int)(sizeof(argv) / sizeof(argv[0])), argv, &wrong)

static void test_plain(void) {
  PARSE("--socket", "a b", "--user", "vcap", "--env", "A=1", "--env", "B=", "ls", "--user", "-l");
  check(r == WSH_OPTIONS_OK && !strcmp(o.socket, "a b") && !strcmp(o.user, "vcap"), "socket and user");
  check(o.environment_count == 2 && !strcmp(o.environment[1], "B="), "environment");
  check(o.command_count == 3 && !strcmp(o.command[0], "ls") && !strcmp(o.command[2], "-l"),
        "the first word ends the options");
}

static void test_default(void) {
  char *argv[] = {"wsh"};
  struct wsh_options o;
  const char *wrong = NULL;
  enum wsh_options_result r = wsh_options_parse(&o, 1, argv, &wrong);
  check(r == WSH_OPTIONS_OK && !o.socket && !*o.user && o.command_count == 0, "no words at all");
}

static void test_rsh(void) {
  PARSE("--rsh", "-4", "-n", "-l", "joe", "-t", "9", "host", "rsync", "-l");
  check(r == WSH_OPTIONS_OK && !strcmp(o.user, "joe"), "rsh user");
  check(o.command_count == 2 && !strcmp(o.command[0], "rsync"), "rsh host is dropped");
}

static void test_wrong(const char *word, const char *value, enum wsh_options_result expected) {
  char *argv[] = {"wsh", (char *)word, (char *)value};
  struct wsh_options o;
  const char *wrong = NULL;
  enum wsh_options_result r = wsh_options_parse(&o, value ? 3 : 2, argv, &wrong);
  check(r == expected && (r == WSH_OPTIONS_HELP || (wrong && !strcmp(wrong, word))), word);
}

static void test_spawn(void) {
  static struct message m;
  struct message_reader reader;
  struct wshd_header header;
  size_t length;
  PARSE("--user", "vcap", "--env", "A=1", "echo", "");

  (void)r;
  o.lang = "";
  o.limits[0] = (struct wsh_limit){.resource = 7, .soft = 5 | UINT64_C(1) << 32, .hard = 6};
  o.limit_count = 1;
  message_spawn(&m, 7, &o, WSHD_SPAWN_TTY, 24, 80, "xterm");
  check(!m.overflow && message_open(&reader, m.bytes, m.length, &header) == 0, "spawn fits");
  check(header.type == WSHD_SPAWN && header.sequence == 7, "spawn header");
  check(message_read_u32(&reader) == 0 && message_read_u32(&reader) == WSHD_SPAWN_TTY, "job id and flags");
  check(message_read_u32(&reader) == (24u | 80u << 16), "rows and columns");
  const char *user = message_read_string(&reader, &length);
  check(length == 4 && !memcmp(user, "vcap", 4), "user");
  check(message_read_u32(&reader) == 2, "argc");
  message_read_string(&reader, &length);
  message_read_string(&reader, &length);
  check(length == 0, "empty argument");
  check(message_read_u32(&reader) == 3, "envc");
  message_read_string(&reader, &length);
  const char *term = message_read_string(&reader, &length);
  check(length == 10 && !memcmp(term, "TERM=xterm", 10), "TERM is passed on");
  const char *lang = message_read_string(&reader, &length);
  check(length == 5 && !memcmp(lang, "LANG=", 5), "LANG is passed on, also if it is empty");
  check(message_read_u32(&reader) == 1 && message_read_u32(&reader) == 7 && message_read_u32(&reader) == 5 &&
            message_read_u32(&reader) == 1 && message_read_u32(&reader) == 6 &&
            message_read_u32(&reader) == 0,
        "limits");
  check(message_read_u32(&reader) == 0 && !reader.overrun && reader.left == 0, "no stdin, nothing else");
  message_read_u32(&reader);
  check(reader.overrun, "reading beyond the end is noticed");
}

static char *lookup(const char *name) {
  static const char *const variables[][2] = {
      {"RLIMIT_NOFILE", "77"}, {"RLIMIT_CORE", "0 -1"}, {"RLIMIT_CPU", "18446744073709551615"}, {NULL, NULL}};
  for (size_t i = 0; variables[i][0]; i++)
    if (strcmp(name, variables[i][0]) == 0) return (char *)(uintptr_t)variables[i][1];
  return NULL;
}

static const char *bad_value;

static char *lookup_bad(const char *name) {
  return strcmp(name, "RLIMIT_NPROC") == 0 ? (char *)(uintptr_t)bad_value : NULL;
}

static void test_resources(void) {
  struct wsh_limit limits[WSH_LIMITS];
  const char *wrong = NULL;
  bool found = false;
  check(wsh_limits_read(limits, lookup, &wrong) == 0, "limits of the environment");
  for (size_t i = 0; i < WSH_LIMITS; i++) {
    if (limits[i].resource == 7) found = limits[i].soft == 77 && limits[i].hard == 77;
    if (limits[i].resource == 4)
      check(limits[i].soft == 0 && limits[i].hard == UINT64_MAX, "soft and hard, -1 for infinity");
    if (limits[i].resource == 6) check(limits[i].soft == 1024 && limits[i].hard == 1024, "a default");
  }
  check(found, "one number is both");
  static const char *const bad[] = {"",     "x", "1x", "1 ", "1 2 3", "-2", "-1x", "18446744073709551616",
                                    "1\t2", NULL};
  for (size_t i = 0; bad[i]; i++) {
    bad_value = bad[i];
    check(wsh_limits_read(limits, lookup_bad, &wrong) == -1 && !strcmp(wrong, "RLIMIT_NPROC"), bad[i]);
  }
}

static void test_limits(void) {
  static struct message m;
  static char big[WSHD_MESSAGE_MAX + 2];
  struct message_reader reader;
  struct wshd_header header;
  const uint8_t other[8] = {WSHD_PROTOCOL_VERSION + 1};

  memset(big, 'x', sizeof(big) - 1);
  message_begin(&m, WSHD_SPAWN, 1);
  message_string(&m, big);
  check(m.overflow, "a message that is too long is noticed");
  check(message_open(&reader, other, sizeof(other), &header) < 0, "another version is refused");
  check(message_open(&reader, other, 7, &header) < 0, "a short header is refused");
}

int main(void) {
  test_plain();
  test_default();
  test_rsh();
  test_wrong("--", NULL, WSH_OPTIONS_INVALID);
  test_wrong("--bogus", NULL, WSH_OPTIONS_INVALID);
  test_wrong("--user", NULL, WSH_OPTIONS_INVALID);
  test_wrong("--env", "=1", WSH_OPTIONS_INVALID);
  test_wrong("--help", NULL, WSH_OPTIONS_HELP);
  test_spawn();
  test_resources();
  test_limits();
  printf("1..%d\n", count);
  return failed > 0;
}
