#include "owner.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* All digits and below the number that means "as it is". */
static bool number_of(const char *text, uint32_t *value) {
  uint64_t number = 0;
  if (text[0] == '\0') return false;
  for (; *text != '\0'; text++) {
    if (*text < '0' || *text > '9') return false;
    number = number * 10 + (uint64_t)(*text - '0');
    if (number >= UINT32_MAX) return false;
  }
  *value = (uint32_t)number;
  return true;
}

/*
 * Fields of a line, in place; answers how many. The rest becomes NULL: it must not be what the line before
 * had.
 */
static size_t split(char *line, char **fields, size_t max) {
  size_t count = 0;
  line[strcspn(line, "\n")] = '\0';
  while (count < max) {
    fields[count++] = line;
    line = strchr(line, ':');
    if (line == NULL) break;
    *line++ = '\0';
  }
  for (size_t rest = count; rest < max; rest++) fields[rest] = NULL;
  return count;
}

/*
 * The line that begins with `name`, or has the number `id` where every line has one. `fields` point into
 * `*line`, which the caller frees.
 */
static bool find_line(const char *etc, const char *file, const char *name, const uint32_t *id, char **line,
                      char *fields[4]) {
  char path[4096];
  size_t room = 0;
  bool found = false;
  snprintf(path, sizeof path, "%s/%s", etc, file);
  FILE *stream = fopen(path, "re");
  *line = NULL;
  if (stream == NULL) return false;
  while (!found && getline(line, &room, stream) > 0) {
    uint32_t value;
    if (split(*line, fields, 4) < 3 || !number_of(fields[2], &value)) continue;
    found = name != NULL ? strcmp(fields[0], name) == 0 : value == *id;
  }
  fclose(stream);
  return found;
}

static bool find(const char *etc, const char *file, const char *name, const uint32_t *id, uint32_t *own,
                 uint32_t *group) {
  char *line, *fields[4] = {NULL};
  bool found = find_line(etc, file, name, id, &line, fields) && number_of(fields[2], own);
  if (found && group != NULL) found = fields[3] != NULL && number_of(fields[3], group);
  free(line);
  return found;
}

static bool is_numeric(const char *text) {
  return text[0] != '\0' && text[strspn(text, "0123456789")] == '\0';
}

static bool resolve(const char *etc, const char *file, const char *text, uint32_t *id, uint32_t *group) {
  if (find(etc, file, text, NULL, id, group)) return true;
  errno = is_numeric(text) ? EINVAL : ENOENT;
  if (!number_of(text, id)) return false;
  if (group == NULL) return true;
  uint32_t same;
  errno = ENOENT; /* a number without an account has no login group */
  return find(etc, file, NULL, id, &same, group);
}

bool owner_parse(const char *text, const char *etc, uid_t *uid, gid_t *gid) {
  char user[256];
  const char *colon = strchr(text, ':');
  size_t length = colon == NULL ? strlen(text) : (size_t)(colon - text);
  *uid = (uid_t)-1;
  *gid = (gid_t)-1;
  errno = EINVAL;
  if (length >= sizeof user || (colon != NULL && strchr(colon + 1, ':') != NULL)) return false;
  memcpy(user, text, length);
  user[length] = '\0';
  bool wants_login_group = colon != NULL && colon[1] == '\0' && length > 0;
  uint32_t id, group;
  if (length > 0) {
    if (!resolve(etc, "passwd", user, &id, wants_login_group ? &group : NULL)) return false;
    *uid = id;
    if (wants_login_group) *gid = group;
  }
  if (colon != NULL && colon[1] != '\0') {
    if (!resolve(etc, "group", colon + 1, &id, NULL)) return false;
    *gid = id;
  }
  return true;
}
