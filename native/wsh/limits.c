/* wsh, on the host: limits of the process to start. */
#include "limits.h"

#include <sys/resource.h>

#define INFINITE UINT64_MAX

static const struct {
  const char *variable;
  uint32_t resource;
  uint64_t value;
} defaults[WSH_LIMITS] = {
    {"RLIMIT_AS", RLIMIT_AS, INFINITE},        {"RLIMIT_CORE", RLIMIT_CORE, 0},
    {"RLIMIT_CPU", RLIMIT_CPU, INFINITE},      {"RLIMIT_DATA", RLIMIT_DATA, INFINITE},
    {"RLIMIT_FSIZE", RLIMIT_FSIZE, INFINITE},  {"RLIMIT_LOCKS", RLIMIT_LOCKS, INFINITE},
    {"RLIMIT_MEMLOCK", RLIMIT_MEMLOCK, 65536}, {"RLIMIT_MSGQUEUE", RLIMIT_MSGQUEUE, 819200},
    {"RLIMIT_NICE", RLIMIT_NICE, 0},           {"RLIMIT_NOFILE", RLIMIT_NOFILE, 1024},
    {"RLIMIT_NPROC", RLIMIT_NPROC, 1024},      {"RLIMIT_RSS", RLIMIT_RSS, INFINITE},
    {"RLIMIT_RTPRIO", RLIMIT_RTPRIO, 0},       {"RLIMIT_SIGPENDING", RLIMIT_SIGPENDING, 1024},
    {"RLIMIT_STACK", RLIMIT_STACK, 8388608},
};

/* A number at *text, which is moved behind it. 0, or -1 if there is none. */
static int take_number(const char **text, uint64_t *value) {
  const char *at = *text;
  if (at[0] == '-' && at[1] == '1') {
    *value = INFINITE;
    *text = at + 2;
    return 0;
  }
  if (*at < '0' || *at > '9') return -1;
  for (*value = 0; *at >= '0' && *at <= '9'; at++)
    if (__builtin_mul_overflow(*value, 10, value) ||
        __builtin_add_overflow(*value, (uint64_t)(*at - '0'), value))
      return -1;
  *text = at;
  return 0;
}

static int parse(const char *text, struct wsh_limit *limit) {
  if (take_number(&text, &limit->soft) != 0) return -1;
  limit->hard = limit->soft;
  if (*text == '\0') return 0;
  if (*text != ' ') return -1;
  while (*text == ' ') text++;
  return take_number(&text, &limit->hard) != 0 || *text != '\0' ? -1 : 0;
}

int wsh_limits_read(struct wsh_limit limits[WSH_LIMITS], char *(*lookup)(const char *), const char **wrong) {
  for (size_t i = 0; i < WSH_LIMITS; i++) {
    const char *text = lookup(defaults[i].variable);
    limits[i] = (struct wsh_limit){
        .resource = defaults[i].resource, .soft = defaults[i].value, .hard = defaults[i].value};
    if (text && parse(text, &limits[i]) != 0) {
      *wrong = defaults[i].variable;
      return -1;
    }
  }
  return 0;
}
