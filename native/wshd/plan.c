#include "plan.h"

#include "descriptor.h"
#include "format.h"
#include "report.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define PLAN_MAX 262144 /* bytes of a file; a plan of a thousand bind mounts is smaller */

static const char *current_file;
static unsigned current_line;

static int bad_line(const char *what, const char *word) {
  char object[64], text[512];
  format(object, sizeof object, "%s:%u", current_file, current_line);
  format(text, sizeof text, "%s:%u: %s: %s", current_file, current_line, what,
         word == NULL ? "missing" : word);
  return report_failure("plan", EINVAL, 0, object, text);
}

static bool is_octal(char digit) { return digit >= '0' && digit <= '7'; }

/* Three octal digits of a byte. Not of a NUL, which would end the word. */
static bool is_escape(const char *digits) {
  return digits[0] >= '0' && digits[0] <= '3' && is_octal(digits[1]) && is_octal(digits[2]) &&
         memcmp(digits, "000", 3) != 0;
}

char *plan_field(char **cursor) {
  char *from = *cursor + strspn(*cursor, " \t");
  if (*from == '\0') return NULL;
  size_t length = strcspn(from, " \t");
  char *end = from + length, *to = from;
  *cursor = *end == '\0' ? end : end + 1;
  for (char *at = from; at < end; at++) {
    if (*at == '\\' && end - at > 3 && is_escape(at + 1)) {
      *to++ = (char)((at[1] - '0') * 64 + (at[2] - '0') * 8 + (at[3] - '0'));
      at += 3;
    } else {
      *to++ = *at;
    }
  }
  *to = '\0';
  return from;
}

/* Grows an array by one zeroed element; NULL without memory. */
static void *append(void *array, size_t *count, size_t size) {
  char *larger = calloc(*count + 1, size);
  if (larger == NULL) return NULL;
  if (*count > 0) memcpy(larger, array, *count * size);
  free(array);
  *count += 1;
  return larger;
}

#define APPEND(plan, list, count) ((plan)->list = append((plan)->list, &(plan)->count, sizeof *(plan)->list))

static bool number(const char *text, unsigned base, uint64_t max, uint64_t *value) {
  return text != NULL && parse_number(text, strlen(text), base, max, value);
}

/* A dotted quad, in network byte order. */
static bool address(const char *text, uint32_t *value) {
  unsigned char bytes[4];
  for (int i = 0; i < 4; i++) {
    uint64_t byte;
    size_t length = strcspn(text, ".");
    if (length > 3 || !parse_number(text, length, 10, 255, &byte) || text[length] != (i < 3 ? '.' : '\0'))
      return false;
    bytes[i] = (unsigned char)byte;
    text += length + 1;
  }
  memcpy(value, bytes, sizeof bytes);
  return true;
}

static const struct {
  const char *word;
  unsigned long set, clear;
} mount_words[] = {
    {"defaults", 0, 0},           {"ro", MS_RDONLY, 0},
    {"rw", 0, MS_RDONLY},         {"nosuid", MS_NOSUID, 0},
    {"nodev", MS_NODEV, 0},       {"noexec", MS_NOEXEC, 0},
    {"relatime", MS_RELATIME, 0}, {"noatime", MS_NOATIME, 0},
    {"bind", MS_BIND, 0},         {"rbind", MS_BIND | MS_REC, 0},
};

/* True when `word` is a flag or one of ours; otherwise it is data for the file system. */
static bool take_option(struct plan_mount *mount, const char *word) {
  for (size_t i = 0; i < sizeof mount_words / sizeof *mount_words; i++) {
    if (strcmp(word, mount_words[i].word) != 0) continue;
    mount->flags = (mount->flags & ~mount_words[i].clear) | mount_words[i].set;
    return true;
  }
  if (strcmp(word, "x-warden.create=dir") == 0) mount->create = CREATE_DIRECTORY;
  else if (strcmp(word, "x-warden.create=file") == 0) mount->create = CREATE_FILE;
  else if (strcmp(word, "x-warden.idmap") == 0) mount->idmap = true;
  else return strncmp(word, "x-", 2) == 0; /* mount(8): comments for somebody else */
  return true;
}

/*
 * Splits at commas that no backslash protects (overlayfs takes `\,` for a comma in a path); the rest moves to
 * the front as data.
 */
static void take_options(struct plan_mount *mount, char *options) {
  char *to = options;
  mount->data = options;
  for (char *word = options; *word != '\0';) {
    char *end = word;
    while (*end != '\0' && *end != ',') end += end[0] == '\\' && end[1] != '\0' ? 2 : 1;
    char *next = *end == '\0' ? end : end + 1;
    *end = '\0';
    if (*word != '\0' && !take_option(mount, word)) {
      if (to != options) *to++ = ',';
      size_t length = (size_t)(end - word);
      memmove(to, word, length);
      to += length;
    }
    word = next;
  }
  *to = '\0';
}

static int take_mount(struct plan *plan, char *line) {
  char *source = plan_field(&line), *target = plan_field(&line), *type = plan_field(&line),
       *options = plan_field(&line);
  if (options == NULL) return bad_line("a mount needs source, target, type and options", NULL);
  if (target[0] != '/') return bad_line("the target must be absolute", target);
  if (plan->mount_count == 0 && strcmp(target, "/") != 0)
    return bad_line("the first mount must be the root, found", target);
  if (!APPEND(plan, mounts, mount_count)) return report_errno("plan", current_file);
  struct plan_mount *mount = &plan->mounts[plan->mount_count - 1];
  mount->source = source;
  mount->target = target;
  mount->type = type;
  take_options(mount, options);
  return 0;
}

static int take_address(struct plan *plan, char *text) {
  char *slash = text == NULL ? NULL : strchr(text, '/');
  uint64_t length = 0;
  if (slash != NULL) *slash = '\0';
  if (slash == NULL || !address(text, &plan->address) || !number(slash + 1, 10, 32, &length))
    return bad_line("expected an address with a prefix length, found", text);
  plan->prefix_length = (unsigned)length;
  return 0;
}

static int take_mac(struct plan *plan, const char *text) {
  const char *at = text;
  for (int i = 0; i < 6; i++) {
    uint64_t part;
    size_t length = strcspn(at, ":");
    if (length > 2 || !parse_number(at, length, 16, 255, &part) || at[length] != (i < 5 ? ':' : '\0'))
      return bad_line("expected a link-layer address, found", text);
    plan->gateway_mac[i] = (unsigned char)part;
    at += length + 1;
  }
  plan->has_gateway_mac = true;
  return 0;
}

static int take_user(struct plan *plan, char *line) {
  uint64_t uid, gid;
  struct plan_user *user = &plan->user;
  user->name = plan_field(&line);
  char *uid_text = plan_field(&line), *gid_text = plan_field(&line);
  user->home = plan_field(&line);
  user->shell = plan_field(&line);
  if (user->shell == NULL || !number(uid_text, 10, 0xfffffffe, &uid) ||
      !number(gid_text, 10, 0xfffffffe, &gid))
    return bad_line("expected user NAME UID GID HOME SHELL, found", user->name);
  if (strpbrk(user->name, ":\n") != NULL || strpbrk(user->home, ":\n") != NULL ||
      strpbrk(user->shell, ":\n") != NULL)
    return bad_line("a field of /etc/passwd holds no colon", user->name);
  user->uid = (uid_t)uid;
  user->gid = (gid_t)gid;
  return 0;
}

static int take_file(struct plan *plan, char *line) {
  char *target = plan_field(&line), *mode_text = plan_field(&line), *source = plan_field(&line);
  uint64_t mode;
  if (target == NULL || source == NULL || target[0] != '/' || !number(mode_text, 8, 07777, &mode))
    return bad_line("expected file TARGET MODE SOURCE, found", target);
  if (!APPEND(plan, files, file_count)) return report_errno("plan", current_file);
  plan->files[plan->file_count - 1] =
      (struct plan_file){.target = target, .source = source, .mode = (mode_t)mode};
  return 0;
}

static int take_device(struct plan *plan, char *line) {
  char *name = plan_field(&line), *kind = plan_field(&line);
  char *major_text = plan_field(&line), *minor_text = plan_field(&line), *mode_text = plan_field(&line);
  uint64_t major, minor, mode;
  if (name == NULL || kind == NULL || mode_text == NULL || strchr(name, '/') != NULL ||
      (strcmp(kind, "c") != 0 && strcmp(kind, "b") != 0) || !number(major_text, 10, 4095, &major) ||
      !number(minor_text, 10, 1048575, &minor) || !number(mode_text, 8, 07777, &mode))
    return bad_line("expected device NAME c|b MAJOR MINOR MODE, found", name);
  if (!APPEND(plan, devices, device_count)) return report_errno("plan", current_file);
  plan->devices[plan->device_count - 1] =
      (struct plan_device){.name = name,
                           .mode = (mode_t)mode | (kind[0] == 'c' ? S_IFCHR : S_IFBLK),
                           .major = (unsigned)major,
                           .minor = (unsigned)minor};
  return 0;
}

static int take_symlink(struct plan *plan, char *line) {
  char *content = plan_field(&line), *path = plan_field(&line);
  if (path == NULL || path[0] != '/') return bad_line("expected symlink CONTENT PATH, found", path);
  if (!APPEND(plan, symlinks, symlink_count)) return report_errno("plan", current_file);
  plan->symlinks[plan->symlink_count - 1] = (struct plan_symlink){.content = content, .path = path};
  return 0;
}

static int take_id_range(struct plan *plan, char *line) {
  char *inside_text = plan_field(&line), *outside_text = plan_field(&line), *count_text = plan_field(&line);
  uint64_t inside, outside, count;
  if (!number(inside_text, 10, ID_NONE, &inside) || !number(outside_text, 10, ID_NONE, &outside) ||
      !number(count_text, 10, ID_NONE, &count) || count == 0 || inside + count > ID_NONE ||
      outside + count > ID_NONE)
    return bad_line("expected idmap INSIDE OUTSIDE COUNT, found", inside_text);
  if (outside == 0) return bad_line("the host's root is nobody's to be, found idmap", inside_text);
  if (plan->ids.count == ID_RANGES_MAX - 4) return bad_line("too many idmap lines", inside_text);
  plan->ids.ranges[plan->ids.count++] =
      (struct id_range){(uint32_t)inside, (uint32_t)outside, (uint32_t)count};
  return 0;
}

static int take_reserve(struct plan *plan, char *line) {
  plan->reserve_outside = plan_field(&line);
  plan->reserve_inside = plan_field(&line);
  return plan->reserve_inside != NULL
             ? 0
             : bad_line("expected reserve OUTSIDE INSIDE, found", plan->reserve_outside);
}

static int take_flag(const char *word, bool *flag) {
  uint64_t value;
  if (!number(word, 10, 1, &value)) return bad_line("expected 0 or 1, found", word);
  *flag = value == 1;
  return 0;
}

static int take_number(const char *word, uint64_t least, uint64_t most, const char *expected,
                       unsigned *target) {
  uint64_t value;
  if (!number(word, 10, most, &value) || value < least) return bad_line(expected, word);
  *target = (unsigned)value;
  return 0;
}

static int take_nice(struct plan *plan, const char *word) {
  const bool is_negative = word[0] == '-';
  uint64_t value;
  if (!number(is_negative ? word + 1 : word, 10, 20, &value))
    return bad_line("expected a niceness, found", word);
  plan->nice = is_negative ? -(int)value : (int)value;
  return 0;
}

static int take_core_dumps(struct plan *plan, const char *word) {
  bool are_allowed;
  if (take_flag(word, &are_allowed) != 0) return -1;
  plan->no_core_dumps = !are_allowed;
  return 0;
}

/* A key that may stand in several lines. */
#define TAKE_ONE_MORE(plan, list, count, word)                                                               \
  (APPEND(plan, list, count) ? ((plan)->list[(plan)->count - 1] = (word), 0)                                 \
                             : report_errno("plan", current_file))

static int take_word(char *word, char **target) {
  *target = word;
  return 0;
}

/* A key with one value. */
static int take_value(struct plan *plan, const char *key, char *word) {
  if (strcmp(key, "hostname") == 0) return take_word(word, &plan->hostname);
  if (strcmp(key, "interface") == 0) return take_word(word, &plan->interface);
  if (strcmp(key, "hook_shell") == 0) return take_word(word, &plan->hook_shell);
  if (strcmp(key, "cgroup") == 0) return TAKE_ONE_MORE(plan, cgroups, cgroup_count, word);
  if (strcmp(key, "mask") == 0) return TAKE_ONE_MORE(plan, masked, masked_count, word);
  if (strcmp(key, "readonly") == 0) return TAKE_ONE_MORE(plan, readonly, readonly_count, word);
  if (strcmp(key, "address") == 0) return take_address(plan, word);
  if (strcmp(key, "gateway") == 0)
    return address(word, &plan->gateway) ? 0 : bad_line("expected an address, found", word);
  if (strcmp(key, "gateway_mac") == 0) return take_mac(plan, word);
  if (strcmp(key, "mtu") == 0) return take_number(word, 0, 65535, "expected an MTU, found", &plan->mtu);
  if (strcmp(key, "nice") == 0) return take_nice(plan, word);
  if (strcmp(key, "no_new_privs") == 0) return take_flag(word, &plan->no_new_privs);
  if (strcmp(key, "seccomp") == 0) return take_flag(word, &plan->seccomp);
  if (strcmp(key, "core_dumps") == 0) return take_core_dumps(plan, word);
  if (strcmp(key, "hook_timeout") == 0)
    return take_number(word, 1, 86400, "expected a number of seconds, found", &plan->hook_timeout);
  if (strcmp(key, "terminals") == 0)
    return take_number(word, 1, INT32_MAX, "expected a number of terminals, found", &plan->terminals);
  if (strcmp(key, "shm_kib") == 0)
    return take_number(word, 4, UINT32_MAX, "expected a number of KiB, found", &plan->shm_kib);
  if (strcmp(key, "dev_kib") == 0)
    return take_number(word, 4, UINT32_MAX, "expected a number of KiB, found", &plan->dev_kib);
  if (strcmp(key, "capabilities") == 0)
    return number(word, 16, UINT64_MAX, &plan->capabilities)
               ? 0
               : bad_line("expected a hexadecimal mask, found", word);
  return bad_line("unknown key", key);
}

static int take_directive(struct plan *plan, char *line) {
  char *key = plan_field(&line);
  if (key == NULL) return 0;
  if (strcmp(key, "user") == 0) return take_user(plan, line);
  if (strcmp(key, "file") == 0) return take_file(plan, line);
  if (strcmp(key, "device") == 0) return take_device(plan, line);
  if (strcmp(key, "symlink") == 0) return take_symlink(plan, line);
  if (strcmp(key, "idmap") == 0) return take_id_range(plan, line);
  if (strcmp(key, "reserve") == 0) return take_reserve(plan, line);
  char *word = plan_field(&line);
  return word == NULL ? bad_line(key, NULL) : take_value(plan, key, word);
}

static int each_line(struct plan *plan, const char *file, char *text, int (*take)(struct plan *, char *)) {
  current_file = file;
  current_line = 0;
  while (*text != '\0') {
    char *line = text, *end = strchr(text, '\n');
    text = end == NULL ? text + strlen(text) : end + 1;
    if (end != NULL) *end = '\0';
    current_line++;
    line += strspn(line, " \t");
    if (*line == '\0' || *line == '#') continue;
    if (take(plan, line) != 0) return -1;
  }
  return 0;
}

int plan_parse_fstab(struct plan *plan, char *text) {
  if (each_line(plan, "etc/fstab", text, take_mount) != 0) return -1;
  return plan->mount_count > 0 ? 0 : bad_line("the mount of the root", NULL);
}

int plan_parse_conf(struct plan *plan, char *text) {
  plan->capabilities = UINT64_MAX;
  plan->hook_timeout = 30;
  plan->dev_kib = 64;
  return each_line(plan, "etc/wshd.conf", text, take_directive);
}

static char *read_whole(const char *file) {
  int fd = open_path(file, O_RDONLY);
  char *text = fd < 0 ? NULL : malloc(PLAN_MAX + 1);
  if (text == NULL) {
    report_errno("plan", file);
    if (fd >= 0) close(fd);
    return NULL;
  }
  size_t length = 0;
  for (;;) {
    ssize_t got = read(fd, text + length, PLAN_MAX + 1 - length);
    if (got < 0 && errno == EINTR) continue;
    if (got > 0 && (length += (size_t)got) <= PLAN_MAX) continue;
    if (got == 0) break;
    if (got > 0) errno = EFBIG;
    report_errno("plan", file);
    free(text);
    close(fd);
    return NULL;
  }
  close(fd);
  text[length] = '\0';
  if (strlen(text) == length) return text;
  /* what comes after a NUL byte would silently be left out */
  report_failure("plan", EINVAL, 0, file, "the file holds a NUL byte");
  free(text);
  return NULL;
}

int plan_load(struct plan *plan) {
  char *conf = read_whole("etc/wshd.conf");
  if (conf == NULL || plan_parse_conf(plan, conf) != 0) return -1;
  char *fstab = read_whole("etc/fstab");
  return fstab == NULL ? -1 : plan_parse_fstab(plan, fstab);
}
