#include "failpoint.h"

#include "format.h"
#include "report.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define VARIABLE "WSHD_FAILPOINT="
#define TERMS_MAX 4
#define DELAY_MAX_MS 600000
#define KILLED 137

extern char **environ;

#define FAILPOINT_NAME(constant, name) name,
static const char *const names[] = {FAILPOINTS(FAILPOINT_NAME)};
#undef FAILPOINT_NAME

enum action { OFF, ERROR, KILL, DELAY };
static const char *const words[] = {"off", "error", "kill", "delay"};

/* `left`: how often it is used before the next one is. */
struct term {
  enum action action;
  uint64_t left;
  unsigned milliseconds;
};

struct point {
  struct term terms[TERMS_MAX];
  size_t count;
};

/* Only a program under test has any. */
static struct point *points;

/* `COUNT*` at the beginning of `*text`, which is moved behind it; without it, for ever. */
static uint64_t take_count(const char **text, size_t *length) {
  size_t digits = 0;
  uint64_t count;
  while (digits < *length && (*text)[digits] >= '0' && (*text)[digits] <= '9') digits++;
  if (digits == 0 || digits == *length || (*text)[digits] != '*' ||
      !parse_number(*text, digits, 10, UINT64_MAX, &count))
    return UINT64_MAX;
  *text += digits + 1;
  *length -= digits + 1;
  return count;
}

static int take_term(struct term *term, const char *text, size_t length) {
  term->left = take_count(&text, &length);
  for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
    size_t word = strlen(words[i]);
    uint64_t milliseconds = 0;
    if (length < word || memcmp(text, words[i], word) != 0) continue;
    term->action = (enum action)i;
    if (term->action != DELAY) return length == word ? 0 : -1;
    if (length < word + 3 || text[word] != '(' || text[length - 1] != ')') return -1;
    if (!parse_number(text + word + 1, length - word - 2, 10, DELAY_MAX_MS, &milliseconds)) return -1;
    term->milliseconds = (unsigned)milliseconds;
    return 0;
  }
  return -1;
}

static int take_item(const char *text, size_t length) {
  uint64_t count = take_count(&text, &length);
  const char *equals = memchr(text, '=', length);
  if (equals == NULL) return -1;
  size_t name = (size_t)(equals - text), at = 0;
  while (at < FAILPOINT_COUNT && (strlen(names[at]) != name || memcmp(names[at], text, name) != 0)) at++;
  if (at == FAILPOINT_COUNT) return -1;
  struct point *point = &points[at];
  const char *term = equals + 1, *end = text + length;
  for (;;) {
    const char *next = term;
    while (next + 1 < end && (next[0] != '-' || next[1] != '>')) next++;
    if (next + 1 >= end) next = end;
    if (point->count == TERMS_MAX || take_term(&point->terms[point->count], term, (size_t)(next - term)) != 0)
      return -1;
    if (point->count++ == 0 && count != UINT64_MAX) point->terms[0].left = count;
    if (next == end) return 0;
    term = next + 2;
  }
}

/* What was the variable is overwritten: it is in memory that a container could come to see. */
static char *take_variable(void) {
  for (char **entry = environ; *entry != NULL; entry++) {
    if (strncmp(*entry, VARIABLE, strlen(VARIABLE)) != 0) continue;
    char *found = *entry, *text = strdup(found + strlen(VARIABLE));
    memset(found, 0, strlen(found));
    for (char **at = entry; (at[0] = at[1]) != NULL; at++) continue;
    return text;
  }
  return NULL;
}

int failpoints_open(void) {
  char *text = take_variable();
  if (text == NULL) return 0;
  points = calloc(FAILPOINT_COUNT, sizeof *points);
  for (const char *item = text; points != NULL && *item != '\0';) {
    size_t length = strcspn(item, ",");
    if (take_item(item, length) != 0) {
      char packet[256];
      format(packet, sizeof packet,
             "no such failpoint, or not of the form [COUNT*]NAME=off|error|kill|delay(MS)[->...]: %s", item);
      free(text);
      return report_failure("failpoint", EINVAL, 0, "WSHD_FAILPOINT", packet);
    }
    item += length + (item[length] == ',');
  }
  free(text);
  return points == NULL ? report_errno("failpoint", "memory") : 0;
}

bool failpoints_are_set(void) { return points != NULL; }

const char *failpoint_name(enum failpoint at) { return names[at]; }

void failpoints_list(void) {
  for (size_t i = 0; i < FAILPOINT_COUNT; i++) {
    size_t length = strlen(names[i]);
    if (write(STDOUT_FILENO, names[i], length) < 0 || write(STDOUT_FILENO, "\n", 1) < 0) return;
  }
}

/* Process 1 cannot kill itself; ending without any clean-up is the same to everybody else. */
_Noreturn static void die(void) {
  if (getpid() != 1) kill(getpid(), SIGKILL);
  _exit(KILLED);
}

int failpoint(enum failpoint at) {
  if (points == NULL) return 0;
  struct point *point = &points[at];
  for (size_t i = 0; i < point->count; i++) {
    struct term *term = &point->terms[i];
    if (term->left == 0) continue;
    if (term->left != UINT64_MAX) term->left--;
    if (term->action == KILL) die();
    if (term->action == ERROR) {
      errno = EIO;
      return -1;
    }
    struct timespec left = {.tv_sec = term->milliseconds / 1000,
                            .tv_nsec = (long)(term->milliseconds % 1000) * 1000000};
    while (nanosleep(&left, &left) != 0 && errno == EINTR) continue;
    return 0;
  }
  return 0;
}

int failpoint_reported(enum failpoint at) {
  return failpoint(at) == 0 ? 0 : report_errno("failpoint", names[at]);
}
