#include "init.h"

#include "clock.h"
#include "format.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* More looks than a tree within a process limit can need, where others are not to be stopped with it. */
#define ROUNDS_MAX 1000
/* A tree that has not been brought down by then is woken by somebody, or grows faster than it is seen. */
#define FIGHT_MILLISECONDS 500
/*
 * Looks that are repeated only because a parent was not seen: where /proc hides processes of other users,
 * some never are.
 */
#define UNSURE_MAX 50

/* Processes of one look at /proc. */
struct process {
  pid_t pid, parent;
  bool inside; /* below the root of the tree */
};

/* In ascending order of pid. */
struct snapshot {
  struct process *list;
  size_t count, room;
};

static pid_t parent_of(int proc, pid_t pid) {
  char path[32], text[512];
  format(path, sizeof path, "%d/stat", pid);
  int fd = openat(proc, path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return -1;
  ssize_t length = read(fd, text, sizeof text - 1);
  close(fd);
  if (length <= 0) return -1;
  text[length] = '\0';
  /* the name may hold anything, brackets too: the last one ends it */
  char *end = strrchr(text, ')');
  uint64_t parent;
  if (end == NULL || strlen(end) < 5) return -1; /* ") S 123 ..." */
  return parse_number(end + 4, strcspn(end + 4, " "), 10, INT32_MAX, &parent) ? (pid_t)parent : -1;
}

static bool add(struct snapshot *snapshot, pid_t pid, pid_t parent) {
  if (snapshot->count == snapshot->room) {
    size_t room = snapshot->room == 0 ? 256 : snapshot->room * 2;
    struct process *larger = malloc(room * sizeof *larger);
    if (larger == NULL) return false;
    if (snapshot->count > 0) memcpy(larger, snapshot->list, snapshot->count * sizeof *larger);
    free(snapshot->list);
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
  pid_t last = 1; /* init itself is in nobody's tree */
  for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
    uint64_t pid;
    if (!parse_number(entry->d_name, strlen(entry->d_name), 10, INT32_MAX, &pid)) continue;
    if ((pid_t)pid <= last) continue; /* the kernel lists them in ascending order, on which find() relies */
    last = (pid_t)pid;
    pid_t parent = parent_of(proc, last);
    if (parent >= 0 && !add(snapshot, last, parent)) break;
  }
  closedir(directory);
}

static const struct process *find(const struct snapshot *snapshot, pid_t pid) {
  size_t from = 0, to = snapshot->count;
  while (from < to) {
    size_t middle = from + (to - from) / 2;
    if (snapshot->list[middle].pid < pid) from = middle + 1;
    else to = middle;
  }
  return from < snapshot->count && snapshot->list[from].pid == pid ? &snapshot->list[from] : NULL;
}

static bool is_inside(const struct snapshot *snapshot, pid_t pid) {
  const struct process *process = find(snapshot, pid);
  return process != NULL && process->inside;
}

/*
 * Marks descendants of `root`; more than one round only where pids have wrapped, so that a child is listed
 * before its parent.
 */
static void mark(struct snapshot *snapshot, pid_t root) {
  for (bool changed = true; changed;) {
    changed = false;
    for (size_t i = 0; i < snapshot->count; i++) {
      struct process *one = &snapshot->list[i];
      if (one->inside || (one->parent != root && !is_inside(snapshot, one->parent))) continue;
      one->inside = changed = true;
    }
  }
}

/*
 * Whether every marked process of `now` was marked in `before` already. A count would miss one that came for
 * one that went.
 */
static bool nobody_new(const struct snapshot *now, const struct snapshot *before) {
  for (size_t i = 0; i < now->count; i++)
    if (now->list[i].inside && !is_inside(before, now->list[i].pid)) return false;
  return true;
}

/*
 * A look takes a while: a child can be read before, and its parent after, that one died, and is then below
 * nobody although it has become a child of init. Process 1 is not listed, and a parent outside the pid
 * namespace is shown as 0.
 */
static bool parents_seen(const struct snapshot *snapshot) {
  for (size_t i = 0; i < snapshot->count; i++)
    if (snapshot->list[i].parent > 1 && find(snapshot, snapshot->list[i].parent) == NULL) return false;
  return true;
}

/* One look at /proc, and what to do about it. */
struct hunt {
  int proc;
  pid_t root;
  bool shared;
  int64_t until; /* when it is given up, but for the first look */
  bool is_fight; /* everybody is stopped before each look */
};

/*
 * A marked process may have ended since, and its number be a stranger's. The descriptor holds whoever has it
 * now; only if that one still has its parent in the tree is it meant.
 */
static void signal_held(const struct hunt *hunt, const struct snapshot *snapshot, pid_t pid, int signal) {
  int held = (int)syscall(SYS_pidfd_open, pid, 0u);
  if (held < 0) return; /* it has gone */
  pid_t parent = parent_of(hunt->proc, pid);
  if (parent == hunt->root || parent == getpid() || is_inside(snapshot, parent))
    syscall(SYS_pidfd_send_signal, held, signal, NULL, 0u);
  close(held);
}

static void signal_marked(const struct hunt *hunt, const struct snapshot *snapshot, int signal) {
  for (size_t i = 0; i < snapshot->count; i++) {
    if (!snapshot->list[i].inside) continue;
    if (hunt->shared) signal_held(hunt, snapshot, snapshot->list[i].pid, signal);
    else kill(snapshot->list[i].pid, signal);
  }
}

/*
 * Looks and signals what it sees, until a look shows nobody who was not there at the one before. False: it
 * has not come to that.
 */
static bool signal_until_complete(const struct hunt *hunt, int signal) {
  struct snapshot now = {0}, before = {0};
  int unsure = 0;
  bool is_complete = false;
  for (int round = 0; round < ROUNDS_MAX && !is_complete; round++) {
    if (round > 0 && monotonic_ms() >= hunt->until) break;
    if (hunt->is_fight) kill(-1, SIGSTOP);
    struct snapshot last = before;
    before = now;
    now = last;
    take_snapshot(hunt->proc, &now);
    mark(&now, hunt->root);
    signal_marked(hunt, &now, signal);
    is_complete = nobody_new(&now, &before) && (parents_seen(&now) || ++unsure == UNSURE_MAX);
  }
  free(now.list);
  free(before.list);
  return is_complete;
}

static void signal_once(const struct hunt *hunt, int signal) {
  struct snapshot snapshot = {0};
  take_snapshot(hunt->proc, &snapshot);
  mark(&snapshot, hunt->root);
  signal_marked(hunt, &snapshot, signal);
  free(snapshot.list);
}

/*
 * A process can fork between being seen and being signalled. A stopped one cannot, and unlike a dead one it
 * keeps its place below the container's process limit, so a tree that forks as fast as it can runs out of
 * room: everything is stopped before anything is killed. A tree that wakes its own members meanwhile
 * (SIGCONT) is caught by the killing, which is repeated in the same way. SIGKILL ends stopped processes too.
 */
static bool kill_below(const struct hunt *hunt) {
  const bool is_stopped = signal_until_complete(hunt, SIGSTOP);
  return signal_until_complete(hunt, SIGKILL) && is_stopped;
}

/*
 * The root comes last: with WSHD_SPAWN_TREE it is the subreaper, so whoever loses a parent stays below it.
 *
 * Somebody outside the tree may wake it as fast as it is stopped, for ever, and init would serve nobody else
 * meanwhile. So in a fight everybody in the container is stopped until the tree is dead, by a call that no
 * fork escapes; by more than one, for who is waking others at that moment ends that first. Who was stopped
 * before goes on with the rest then.
 */
static void kill_tree(struct hunt *hunt) {
  /* our own child and not yet reaped: its number is no stranger's */
  kill(hunt->root, SIGSTOP);
  if (!hunt->shared) hunt->until = monotonic_ms() + FIGHT_MILLISECONDS;
  hunt->is_fight = !kill_below(hunt) && !hunt->shared;
  if (hunt->is_fight) {
    hunt->until = INT64_MAX;
    signal_until_complete(hunt, SIGKILL);
  }
  kill(hunt->root, SIGKILL);
  if (hunt->is_fight) kill(-1, SIGCONT);
}

void tree_signal(int proc, pid_t root, int signal, bool shared) {
  struct hunt hunt = {.proc = proc, .root = root, .shared = shared, .until = INT64_MAX};
  if (signal == SIGKILL) {
    kill_tree(&hunt);
    return;
  }
  signal_once(&hunt, signal);
  kill(root, signal);
}

/*
 * kill(2) with -1 reaches everybody in one moment. Here all are stopped for one: a child that a busy process
 * forks just now would be missed, and repeating a signal would hit what handlers of the first one have
 * started.
 */
void descendants_signal(int proc, int signal) {
  const struct hunt hunt = {.proc = proc, .root = getpid(), .shared = true, .until = INT64_MAX};
  bool freeze = signal != 0 && signal != SIGKILL && signal != SIGSTOP && signal != SIGCONT;
  if (freeze) signal_until_complete(&hunt, SIGSTOP);
  if (signal == SIGKILL) kill_below(&hunt);
  else signal_once(&hunt, signal);
  if (freeze) signal_once(&hunt, SIGCONT);
}
