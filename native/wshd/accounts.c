#include "accounts.h"

#include "format.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FIELDS 7

struct field {
  const char *at;
  size_t length;
};

/* Splits a line at its colons; answers how many fields, at most FIELDS. */
static size_t split(const char *line, size_t length, struct field *fields) {
  size_t count = 0;
  const char *end = line + length;
  while (count < FIELDS) {
    const char *colon = memchr(line, ':', (size_t)(end - line));
    const char *stop = colon == NULL ? end : colon;
    fields[count++] = (struct field){.at = line, .length = (size_t)(stop - line)};
    if (colon == NULL) break;
    line = colon + 1;
  }
  return count;
}

static bool is(struct field field, const char *text) {
  return field.length == strlen(text) && memcmp(field.at, text, field.length) == 0;
}

static bool copy(struct field field, char *into, size_t size) {
  if (field.length >= size) return false;
  memcpy(into, field.at, field.length);
  into[field.length] = '\0';
  return true;
}

static bool to_id(struct field field, unsigned *id) {
  uint64_t value;
  if (!parse_number(field.at, field.length, 10, 0xfffffffe, &value)) return false;
  *id = (unsigned)value;
  return true;
}

static const char *line_end(const char *line) {
  const char *end = strchr(line, '\n');
  return end == NULL ? line + strlen(line) : end;
}

/* The fields of the line at `*text`, which is moved behind it. Answers how many; 0: there is no line more. */
static size_t next_entry(const char **text, struct field *fields) {
  const char *line = *text, *end = line_end(line);
  if (*line == '\0') return 0;
  *text = *end == '\0' ? end : end + 1;
  return split(line, (size_t)(end - line), fields);
}

bool account_find(const char *passwd, const char *name, struct account *account) {
  struct field fields[FIELDS];
  for (size_t count; (count = next_entry(&passwd, fields)) > 0;) {
    if (count != FIELDS || !is(fields[0], name)) continue;
    *account = (struct account){0};
    if (copy(fields[0], account->name, sizeof account->name) && to_id(fields[2], &account->uid) &&
        to_id(fields[3], &account->gid) && copy(fields[5], account->home, sizeof account->home) &&
        copy(fields[6], account->shell, sizeof account->shell))
      return true;
  }
  return false;
}

bool account_is_first(const char *passwd, const struct account *account) {
  struct field fields[FIELDS];
  unsigned uid;
  for (size_t count; (count = next_entry(&passwd, fields)) > 0;)
    if (count == FIELDS && to_id(fields[2], &uid) && uid == account->uid) return is(fields[0], account->name);
  return false;
}

static bool lists(struct field members, const char *name) {
  const char *at = members.at, *end = members.at + members.length;
  while (at < end) {
    const char *comma = memchr(at, ',', (size_t)(end - at));
    const char *stop = comma == NULL ? end : comma;
    if (is((struct field){.at = at, .length = (size_t)(stop - at)}, name)) return true;
    at = stop + 1;
  }
  return false;
}

void account_find_groups(const char *group, struct account *account) {
  struct field fields[FIELDS];
  unsigned gid;
  account->groups[0] = account->gid;
  account->group_count = 1;
  for (size_t count; account->group_count < ACCOUNT_GROUPS_MAX && (count = next_entry(&group, fields)) > 0;)
    if (count == 4 && to_id(fields[2], &gid) && gid != account->gid && lists(fields[3], account->name))
      account->groups[account->group_count++] = gid;
}

bool account_find_gid(const char *group, const char *name, gid_t *gid) {
  struct field fields[FIELDS];
  for (size_t count; (count = next_entry(&group, fields)) > 0;)
    if (count == 4 && is(fields[0], name) && to_id(fields[2], gid)) return true;
  return false;
}

/*
 * Copies `text` without the entries of `name` (their place is taken by `entry`) and appends `entry` if there
 * was none.
 */
static char *with_entry(const char *text, const char *name, const char *entry) {
  size_t entry_length = strlen(entry), size = strlen(text) + entry_length + 2;
  char *result = malloc(size), *to = result;
  bool placed = false;
  struct field fields[FIELDS];
  if (result == NULL) return NULL;
  for (const char *line = text; *line != '\0';) {
    const char *end = line_end(line);
    split(line, (size_t)(end - line), fields);
    if (!is(fields[0], name)) {
      size_t length = (size_t)(end - line);
      memcpy(to, line, length);
      to += length;
      *to++ = '\n';
    } else if (!placed) {
      memcpy(to, entry, entry_length);
      to += entry_length;
      placed = true;
    }
    line = *end == '\0' ? end : end + 1;
  }
  if (!placed) {
    memcpy(to, entry, entry_length);
    to += entry_length;
  }
  *to = '\0';
  return result;
}

char *accounts_with_user(const char *passwd, const struct plan_user *user) {
  char entry[4096];
  struct account old;
  bool known = account_find(passwd, user->name, &old);
  /* an image that brings the user keeps its home and shell, as the original kept them */
  size_t length = format(entry, sizeof entry, "%s:x:%u:%u::%s:%s\n", user->name, user->uid, user->gid,
                         known && old.home[0] == '/' ? old.home : user->home,
                         known && old.shell[0] == '/' ? old.shell : user->shell);
  if (length >= sizeof entry) {
    errno = ENAMETOOLONG;
    return NULL;
  }
  return with_entry(passwd, user->name, entry);
}

char *accounts_with_group(const char *group, const struct plan_user *user) {
  struct field fields[FIELDS], members = {.at = "", .length = 0};
  const char *at = group;
  for (size_t count; (count = next_entry(&at, fields)) > 0;) {
    if (count == 4 && is(fields[0], user->name)) {
      members = fields[3];
      break;
    }
  }
  size_t size = strlen(user->name) + members.length + 32;
  char *entry = malloc(size);
  if (entry == NULL) return NULL;
  size_t length = format(entry, size, "%s:x:%u:", user->name, user->gid);
  memcpy(entry + length, members.at, members.length);
  memcpy(entry + length + members.length, "\n", 2);
  char *result = with_entry(group, user->name, entry);
  free(entry);
  return result;
}
