/*
 * The tree of processes, read from a /proc whose process names are the container's own: pieces that end with
 * a 0 byte are the stat files of processes 2, 3, 4 and so on. Who is signalled is compared with a walk from
 * each process up to the root.
 */
#include "scratch.h"

#include <sys/syscall.h>
#include <sys/types.h>

#define PROCESSES_MAX 12
#define ROOT 2

static unsigned signalled[PROCESSES_MAX + 2], root_signalled;

static int fuzz_kill(pid_t pid, int signal) {
  (void)signal;
  must(pid >= ROOT && pid < PROCESSES_MAX + 2);
  if (pid == ROOT) root_signalled++;
  else signalled[pid]++;
  return 0;
}

#define kill fuzz_kill
#include "../wshd/tree.c"
#undef kill

/* The field behind the name, by the plain way: "pid (name) state ppid ...". */
static long parent_in(const char *text, size_t length) {
  char copy[512];
  if (length > sizeof copy - 1) length = sizeof copy - 1;
  memcpy(copy, text, length);
  copy[length] = '\0';
  const char *end = NULL;
  for (const char *at = copy; *at != '\0'; at++)
    if (*at == ')') end = at;
  if (end == NULL || strlen(end) < 5 || end[4] < '0' || end[4] > '9') return -1;
  char *stop;
  long parent = strtol(end + 4, &stop, 10);
  return (*stop == ' ' || *stop == '\0') && parent <= INT32_MAX ? parent : -1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct input input = {.at = data, .left = size};
  long parents[PROCESSES_MAX + 2];
  int proc = scratch_open();
  bool kills = input_byte(&input) % 2 == 1;
  for (int pid = 0; pid < PROCESSES_MAX + 2; pid++) parents[pid] = -1;
  for (int pid = ROOT; pid < PROCESSES_MAX + 2 && input.left > 0; pid++) {
    char name[16], path[32], *text = input_text(&input, '\0');
    snprintf(name, sizeof name, "%d", pid);
    snprintf(path, sizeof path, "%d/stat", pid);
    must(mkdirat(proc, name, 0700) == 0);
    scratch_write(proc, path, text, strlen(text));
    parents[pid] = parent_in(text, strlen(text));
    must(parent_of(proc, pid) == parents[pid]);
    free(text);
  }
  memset(signalled, 0, sizeof signalled);
  root_signalled = 0;
  /*
   * the order of a real /proc, on which a look relies, is not that of a directory: what was seen is given to
   * the rest of it
   */
  struct snapshot snapshot = {0};
  for (int pid = ROOT; pid < PROCESSES_MAX + 2; pid++)
    if (parents[pid] >= 0) must(add(&snapshot, pid, (pid_t)parents[pid]));
  mark(&snapshot, ROOT);
  for (int pid = ROOT; pid < PROCESSES_MAX + 2; pid++) {
    bool below = false;
    long at = pid;
    for (int steps = 0;
         steps < PROCESSES_MAX + 2 && at >= ROOT && at < PROCESSES_MAX + 2 && parents[at] >= 0 && !below;
         steps++) {
      below = parents[at] == ROOT;
      at = parents[at];
    }
    must(is_inside(&snapshot, pid) == (parents[pid] >= 0 && below));
  }
  free(snapshot.list);
  tree_signal(proc, ROOT, kills ? SIGKILL : SIGTERM, false);
  must(root_signalled > 0);
  for (int pid = ROOT + 1; pid < PROCESSES_MAX + 2; pid++) must(signalled[pid] == 0 || parents[pid] >= 0);
  return 0;
}
