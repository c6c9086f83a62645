#include "cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const char *const controllers[] = {"cpu", "cpuacct", "memory", "devices", "pids"};
#define CONTROLLERS (sizeof controllers / sizeof *controllers)
static char mounts[CONTROLLERS][256];
static int mount_count;
static bool unified;

static int write_file(const char *directory, const char *file, const char *text) {
  char path[600];
  snprintf(path, sizeof path, "%s/%s", directory, file);
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return -errno;
  int result = write(fd, text, strlen(text)) < 0 ? -errno : 0;
  close(fd);
  return result;
}

static void group_path(char *path, size_t size, int mount, const char *prefix, int number) {
  if (number < 0) snprintf(path, size, "%s/%s", mounts[mount], prefix);
  else snprintf(path, size, "%s/%s/%x", mounts[mount], prefix, (unsigned)number);
}

static bool has_word(const char *list, const char *word) {
  size_t length = strlen(word);
  for (const char *at = list; (at = strstr(at, word)) != NULL; at += length)
    if ((at == list || at[-1] == ',') && (at[length] == ',' || at[length] == '\0')) return true;
  return false;
}

static void find_mounts(void) {
  char line[1024], v2[256] = "";
  FILE *table = fopen("/proc/self/mounts", "re");
  while (table != NULL && fgets(line, sizeof line, table) != NULL) {
    char target[256], type[64], options[512];
    if (sscanf(line, "%*s %255s %63s %511s", target, type, options) != 3) continue;
    if (strcmp(type, "cgroup2") == 0) snprintf(v2, sizeof v2, "%s", target);
    if (strcmp(type, "cgroup") != 0) continue;
    for (size_t i = 0; i < CONTROLLERS; i++)
      if (has_word(options, controllers[i])) snprintf(mounts[i], sizeof mounts[i], "%s", target);
  }
  if (table != NULL) fclose(table);
  mount_count = CONTROLLERS;
  if (mounts[2][0] == '\0' && v2[0] != '\0') {
    unified = true;
    mount_count = 1;
    snprintf(mounts[0], sizeof mounts[0], "%s", v2);
  }
}

static bool is_repeated(int mount) {
  for (int i = 0; i < mount; i++)
    if (strcmp(mounts[i], mounts[mount]) == 0) return true;
  return mounts[mount][0] == '\0';
}

int cgroup_count(void) {
  int count = 0;
  for (int i = 0; i < mount_count; i++) count += !is_repeated(i);
  return count;
}

int cgroup_setup(const char *prefix) {
  char path[512];
  find_mounts();
  for (int i = 0; i < mount_count; i++) {
    if (is_repeated(i)) continue;
    group_path(path, sizeof path, i, prefix, -1);
    if (mkdir(path, 0755) != 0 && errno != EEXIST) return -errno;
  }
  if (unified) {
    write_file(mounts[0], "cgroup.subtree_control", "+cpu +memory +pids");
    write_file(path, "cgroup.subtree_control", "+cpu +memory +pids");
  }
  return cgroup_count() > 0 ? 0 : -ENOENT;
}

static int limit_v1(const char *prefix, unsigned number) {
  static const char *const devices[] = {"c 1:3 rw", "c 1:5 rw", "c 1:7 rw",   "c 1:8 rw",   "c 1:9 rw",
                                        "c 5:0 rw", "c 5:2 rw", "c 136:* rw", "c 10:229 rw"};
  char path[512];
  int result;
  group_path(path, sizeof path, 0, prefix, (int)number);
  if ((result = write_file(path, "cpu.shares", "1024")) != 0) return result;
  group_path(path, sizeof path, 2, prefix, (int)number);
  if ((result = write_file(path, "memory.limit_in_bytes", "1073741824")) != 0) return result;
  group_path(path, sizeof path, 3, prefix, (int)number);
  if ((result = write_file(path, "devices.deny", "a")) != 0) return result;
  for (size_t i = 0; i < sizeof devices / sizeof *devices; i++)
    if ((result = write_file(path, "devices.allow", devices[i])) != 0) return result;
  group_path(path, sizeof path, 4, prefix, (int)number);
  return write_file(path, "pids.max", "4096");
}

static int limit_v2(const char *prefix, unsigned number) {
  char path[512];
  group_path(path, sizeof path, 0, prefix, (int)number);
  int result = write_file(path, "memory.max", "1073741824");
  return result != 0 ? result : write_file(path, "pids.max", "4096");
}

int cgroup_create(const char *prefix, unsigned number) {
  char path[512];
  for (int i = 0; i < mount_count; i++) {
    if (is_repeated(i)) continue;
    group_path(path, sizeof path, i, prefix, (int)number);
    if (mkdir(path, 0755) != 0) return -errno;
  }
  return unified ? limit_v2(prefix, number) : limit_v1(prefix, number);
}

int cgroup_join(const char *prefix, unsigned number) {
  char path[512];
  for (int i = 0; i < mount_count; i++) {
    if (is_repeated(i)) continue;
    group_path(path, sizeof path, i, prefix, (int)number);
    int result = write_file(path, unified ? "cgroup.procs" : "tasks", "0");
    if (result != 0) return result;
  }
  return 0;
}

/* A dead process leaves its group a moment after it was reaped. */
static int remove_patiently(const char *path) {
  const struct timespec pause = {.tv_nsec = 200000};
  for (int attempt = 0; attempt < 5000; attempt++) {
    if (rmdir(path) == 0 || errno == ENOENT) return 0;
    if (errno != EBUSY) break;
    nanosleep(&pause, NULL);
  }
  return -errno;
}

int cgroup_remove(const char *prefix, unsigned number) {
  char path[512];
  int result = 0;
  for (int i = 0; i < mount_count; i++) {
    if (is_repeated(i)) continue;
    group_path(path, sizeof path, i, prefix, (int)number);
    int one = remove_patiently(path);
    if (one != 0) result = one;
  }
  return result;
}

void cgroup_remove_parents(const char *prefix) {
  char path[512];
  for (int i = 0; i < mount_count; i++) {
    group_path(path, sizeof path, i, prefix, -1);
    if (!is_repeated(i)) remove_patiently(path);
  }
}
