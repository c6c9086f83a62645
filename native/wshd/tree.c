#include "init.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Processes of one look at /proc. */
struct process {
  pid_t pid, parent;
  bool inside; /* below the root of the tree */
};

struct snapshot {
  struct process *list;
  size_t count, room;
};

static pid_t parent_of(int proc, pid_t pid) {
  char path[32], text[512];
  snprintf(path, sizeof path, "%d/stat", pid);
  int fd = openat(proc, path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return -1;
  ssize_t length = read(fd, text, sizeof text - 1);
  close(fd);
  if (length <= 0) return -1;
  text[length] = '\0';
  /* the name may hold anything, brackets too: the last one ends it */
  char *end = strrchr(text, ')');
  if (end == NULL || strlen(end) < 5) return -1; /* ") S 123 ..." */
  return (pid_t)strtol(end + 4, NULL, 10);
}

static bool add(struct snapshot *snapshot, pid_t pid, pid_t parent) {
  if (snapshot->count == snapshot->room) {
    size_t room = snapshot->room == 0 ? 256 : snapshot->room * 2;
    struct process *larger = realloc(snapshot->list, room * sizeof *larger);
    if (larger == NULL) return false;
    snapshot->list = larger;
    snapshot->room = room;
  }
  snapshot->list[snapshot->count++] = (struct process){.pid = pid, .parent = parent};
  return true;
}

static void take_snapshot(int proc, struct snapshot *snapshot) {
  snapshot->count = 0;
  int fd = openat(proc, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *directory = fd < 0 ? NULL : fdopendir(fd);
  if (directory == NULL) {
    if (fd >= 0) close(fd);
    return;
  }
  for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
    char *end;
    long pid = strtol(entry->d_name, &end, 10);
    if (pid <= 1 || *end != '\0') continue;
    pid_t parent = parent_of(proc, (pid_t)pid);
    if (parent >= 0 && !add(snapshot, (pid_t)pid, parent)) break;
  }
  closedir(directory);
}

static bool is_inside(const struct snapshot *snapshot, pid_t parent, pid_t root) {
  if (parent == root) return true;
  for (size_t i = 0; i < snapshot->count; i++)
    if (snapshot->list[i].pid == parent) return snapshot->list[i].inside;
  return false;
}

/* Marks descendants of `root`; several rounds, because a child may be listed before its parent. */
static void mark(struct snapshot *snapshot, pid_t root) {
  for (bool changed = true; changed;) {
    changed = false;
    for (size_t i = 0; i < snapshot->count; i++) {
      struct process *one = &snapshot->list[i];
      if (one->inside || !is_inside(snapshot, one->parent, root)) continue;
      one->inside = changed = true;
    }
  }
}

/* Whether every marked process of `now` was marked in `before` already. A count would miss one that came for one that went. */
static bool nobody_new(const struct snapshot *now, const struct snapshot *before) {
  for (size_t i = 0; i < now->count; i++)
    if (now->list[i].inside && !is_inside(before, now->list[i].pid, 0)) return false;
  return true;
}

/*
 * A process can fork between being seen and being signalled. A stopped one cannot: the tree is stopped until a look at it shows nobody
 * new, and only then killed. Stopping is bounded by the container's process limit; so is the loop.
 */
void tree_signal(int proc, pid_t root, int signal) {
  struct snapshot snapshot = {0}, before = {0};
  if (signal == SIGKILL) {
    kill(root, SIGSTOP);
    for (int round = 0; round < 1000; round++) {
      struct snapshot last = before;
      before = snapshot;
      snapshot = last;
      take_snapshot(proc, &snapshot);
      mark(&snapshot, root);
      for (size_t i = 0; i < snapshot.count; i++)
        if (snapshot.list[i].inside) kill(snapshot.list[i].pid, SIGSTOP);
      if (nobody_new(&snapshot, &before)) break;
    }
  } else {
    take_snapshot(proc, &snapshot);
    mark(&snapshot, root);
  }
  for (size_t i = 0; i < snapshot.count; i++)
    if (snapshot.list[i].inside) kill(snapshot.list[i].pid, signal);
  kill(root, signal);
  free(snapshot.list);
  free(before.list);
}
