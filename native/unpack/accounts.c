#include "accounts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX (1 << 20)
#define NOBODY 65534

bool accounts_parse(struct accounts *accounts, const char *text) {
  accounts->range_count = 0;
  while (*text != '\0') {
    unsigned long numbers[3];
    for (size_t i = 0; i < 3; i++) {
      char *end;
      errno = 0;
      numbers[i] = strtoul(text, &end, 10);
      char after = i < 2 ? ':' : ',';
      if (end == text || errno != 0 || numbers[i] > UINT32_MAX ||
          (*end != after && !(i == 2 && *end == '\0')))
        return false;
      text = *end == '\0' ? end : end + 1;
    }
    if (accounts->range_count == RANGES_MAX) return false;
    accounts->ranges[accounts->range_count++] = (struct range){
        .inside = (uint32_t)numbers[0], .outside = (uint32_t)numbers[1], .count = (uint32_t)numbers[2]};
  }
  return true;
}

char *read_small(int directory, const char *name, size_t limit) {
  struct stat facts;
  int fd = openat(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return NULL;
  char *text = fstat(fd, &facts) == 0 && S_ISREG(facts.st_mode) && (uint64_t)facts.st_size <= limit
                   ? malloc((size_t)facts.st_size + 1)
                   : NULL;
  size_t length = 0;
  while (text != NULL && length < (size_t)facts.st_size) {
    ssize_t count = read(fd, text + length, (size_t)facts.st_size - length);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) break;
    length += (size_t)count;
  }
  close(fd);
  if (text != NULL) text[length] = '\0';
  return text;
}

/* Where field `index` of a line begins; NULL when the line has none. */
static const char *field(const char *line, size_t index) {
  for (; index > 0; index--) {
    line += strcspn(line, ":\n");
    if (*line != ':') return NULL;
    line++;
  }
  return line;
}

static bool field_number(const char *line, size_t index, uint32_t *value) {
  const char *at = field(line, index);
  char *end;
  if (at == NULL || *at < '0' || *at > '9') return false;
  errno = 0;
  unsigned long number = strtoul(at, &end, 10);
  if (errno != 0 || number >= UINT32_MAX || (*end != ':' && *end != '\n' && *end != '\0')) return false;
  *value = (uint32_t)number;
  return true;
}

static const char *next_line(const char *line) {
  line += strcspn(line, "\n");
  return *line == '\n' ? line + 1 : line;
}

static bool is_line_of(const char *line, const char *name) {
  size_t length = strlen(name);
  return strncmp(line, name, length) == 0 && line[length] == ':';
}

/* As the launcher of containers looks: an account with the number 0 is left alone. */
static void find_in(const char *text, const char *name, uint32_t own, struct swap *swap) {
  for (const char *line = text; *line != '\0'; line = next_line(line)) {
    uint32_t id;
    if (!is_line_of(line, name) || !field_number(line, 2, &id)) continue;
    if (id != 0 && id != own) *swap = (struct swap){.is_set = true, .container = own, .image = id};
    return;
  }
}

static char *read_of_layers(const char *name, const int *layers, size_t count) {
  for (size_t i = 0; i < count; i++) {
    int etc = openat(layers[i], "etc", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    char *text = etc < 0 ? NULL : read_small(etc, name, FILE_MAX);
    if (etc >= 0) close(etc);
    if (text != NULL) return text;
  }
  return NULL;
}

int accounts_find(struct accounts *accounts, const char *name, uint32_t uid, const int *layers,
                  size_t count) {
  accounts->name = name;
  accounts->user.is_set = accounts->group.is_set = false;
  char *passwd = read_of_layers("passwd", layers, count), *group = read_of_layers("group", layers, count);
  if (passwd != NULL) find_in(passwd, name, uid, &accounts->user);
  if (group != NULL) find_in(group, name, uid, &accounts->group);
  free(passwd);
  free(group);
  return 0;
}

static uint32_t inside_of(const struct accounts *accounts, uint32_t id) {
  if (accounts->range_count == 0) return id;
  for (size_t i = 0; i < accounts->range_count; i++) {
    const struct range *one = &accounts->ranges[i];
    if (id >= one->outside && id - one->outside < one->count) return one->inside + (id - one->outside);
  }
  return NOBODY;
}

static uint32_t swapped(const struct swap *swap, uint32_t id) {
  if (!swap->is_set) return id;
  return id == swap->container ? swap->image : id == swap->image ? swap->container : id;
}

uint32_t accounts_uid(const struct accounts *accounts, uint32_t id) {
  return swapped(&accounts->user, inside_of(accounts, id));
}
uint32_t accounts_gid(const struct accounts *accounts, uint32_t id) {
  return swapped(&accounts->group, inside_of(accounts, id));
}
bool accounts_is_root(const struct accounts *accounts, uint32_t id) { return inside_of(accounts, id) == 0; }

char *accounts_renumber(const struct accounts *accounts, const char *text, bool is_group) {
  if (accounts->name == NULL || (!accounts->user.is_set && !accounts->group.is_set)) return NULL;
  size_t room = strlen(text) + 64, used = 0;
  for (const char *line = text; *line != '\0'; line = next_line(line)) room += 32;
  char *result = malloc(room);
  if (result == NULL) return NULL;
  for (const char *line = text; *line != '\0';) {
    const char *end = next_line(line);
    uint32_t uid, gid;
    bool is_own = is_line_of(line, accounts->name) && field_number(line, 2, &uid) &&
                  (is_group || field_number(line, 3, &gid));
    if (!is_own) {
      memcpy(result + used, line, (size_t)(end - line));
      used += (size_t)(end - line);
    } else {
      const char *number = field(line, 2), *rest = field(line, is_group ? 3 : 4);
      if (rest == NULL) rest = line + strcspn(line, "\n");
      else rest--; /* with its colon */
      memcpy(result + used, line, (size_t)(number - line));
      used += (size_t)(number - line);
      if (is_group)
        used += (size_t)snprintf(result + used, room - used, "%u", swapped(&accounts->group, uid));
      else
        used += (size_t)snprintf(result + used, room - used, "%u:%u", swapped(&accounts->user, uid),
                                 swapped(&accounts->group, gid));
      memcpy(result + used, rest, (size_t)(end - rest));
      used += (size_t)(end - rest);
    }
    line = end;
  }
  result[used] = '\0';
  return result;
}
