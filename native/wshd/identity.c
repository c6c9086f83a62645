#include "identity.h"

#include "bare.h"
#include "descriptor.h"
#include "format.h"
#include "setting.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

uint32_t id_outside(const struct id_map *map, uint32_t inside) {
  if (map->count == 0) return inside;
  for (size_t i = 0; i < map->count; i++) {
    const struct id_range *range = &map->ranges[i];
    if (inside >= range->inside && inside - range->inside < range->count)
      return range->outside + (inside - range->inside);
  }
  return ID_NONE;
}

/* Makes `id` a range of its own, if it is mapped at all. */
static int isolate(struct id_map *map, uint32_t id) {
  for (size_t i = 0; i < map->count; i++) {
    struct id_range *range = &map->ranges[i];
    uint32_t before = id - range->inside;
    if (id < range->inside || before >= range->count) continue;
    struct id_range parts[] = {
        {range->inside, range->outside, before},
        {id, range->outside + before, 1},
        {id + 1, range->outside + before + 1, range->count - before - 1},
    };
    if (map->count + 2 > ID_RANGES_MAX) return -1;
    memmove(range + 3, range + 1, (map->count - i - 1) * sizeof *range);
    memcpy(range, parts, sizeof parts);
    map->count += 2;
    /* the kernel takes no empty range */
    size_t kept = 0;
    for (size_t j = 0; j < map->count; j++)
      if (map->ranges[j].count > 0) map->ranges[kept++] = map->ranges[j];
    map->count = kept;
    return 0;
  }
  return 0;
}

static struct id_range *single(struct id_map *map, uint32_t id) {
  for (size_t i = 0; i < map->count; i++)
    if (map->ranges[i].inside == id && map->ranges[i].count == 1) return &map->ranges[i];
  return NULL;
}

int id_map_swap(struct id_map *map, uint32_t one, uint32_t other) {
  if (map->count == 0 && (map->count = 1) == 1) map->ranges[0] = (struct id_range){0, 0, ID_NONE};
  if (isolate(map, one) != 0 || isolate(map, other) != 0) {
    errno = E2BIG;
    return -1;
  }
  struct id_range *a = single(map, one), *b = single(map, other);
  if (a == NULL || b == NULL) return 0;
  uint32_t outside = a->outside;
  a->outside = b->outside;
  b->outside = outside;
  return 0;
}

static int write_map(pid_t pid, const char *name, const struct id_map *map) {
  char path[64], text[ID_RANGES_MAX * 36];
  size_t length = 0;
  format(path, sizeof path, "/proc/%d/%s", pid, name);
  for (size_t i = 0; i < map->count; i++) {
    const struct id_range *range = &map->ranges[i];
    length += format(text + length, sizeof text - length, "%u %u %u\n", range->inside, range->outside,
                     range->count);
  }
  return setting_write(path, text);
}

/*
 * Processes that only held a namespace, killed and not yet collected: one for the container's own, one where
 * the image's user differs.
 */
static pid_t ending[2];
static size_t ending_count;
#define HOLDER_STACK 8192

void identity_reap(void) {
  while (ending_count > 0) {
    ending_count--;
    bare_collect(ending[ending_count]);
  }
}

/*
 * The namespace needs a process until there is a descriptor; this one waits for its end and does nothing
 * else. A parent that was killed before it asked for that is one no more.
 */
static int hold_namespace(void *parent) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != *(const pid_t *)parent) return 0;
  while (pause() != 0) continue; /* it never answers anything else */
  return 0;
}

struct capability_sets {
  struct __user_cap_header_struct header;
  struct __user_cap_data_struct data[2];
};

static int read_capabilities(struct capability_sets *sets) {
  sets->header = (struct __user_cap_header_struct){.version = _LINUX_CAPABILITY_VERSION_3};
  return (int)syscall(SYS_capget, &sets->header, sets->data);
}

/*
 * What a change of identity has taken away, if the process was root: the rights in force, and the signal with
 * which it ends.
 */
static int take_back(int death_signal) {
  struct capability_sets sets;
  prctl(PR_SET_PDEATHSIG, death_signal);
  if (read_capabilities(&sets) != 0) return -1;
  for (int i = 0; i < 2; i++) sets.data[i].effective = sets.data[i].permitted;
  return (int)syscall(SYS_capset, &sets.header, sets.data);
}

/* Makes what this process does that of `uid`, with all its rights. */
static int become_owner(uid_t uid) {
  int death_signal = 0;
  prctl(PR_GET_PDEATHSIG, &death_signal);
  return syscall(SYS_setresuid, -1, uid, -1) == 0 ? take_back(death_signal) : -1;
}

/*
 * What is counted for each user on the host, as watches of files (fs.inotify.max_user_instances), message
 * queues and queued signals are, counts for whoever inside it is, and for the owner of the user namespace
 * again. Were that the host's root, one container could leave nothing of it to any other, nor to the host's
 * own services.
 */
int identity_create(const struct id_map *users, const struct id_map *groups) {
  char path[64];
  const uid_t self = geteuid(), owner = id_outside(users, 0);
  /*
   * without a copy of the memory, of which each page would be copied again when this process writes to it;
   * each has a stack of its own, for they run on
   */
  static _Alignas(16) char stacks[sizeof ending / sizeof *ending][HOLDER_STACK];
  if (ending_count == sizeof ending / sizeof *ending) identity_reap();
  if (owner != ID_NONE && become_owner(owner) != 0) return -1;
  static pid_t parent;
  parent = getpid();
  pid_t pid =
      clone(hold_namespace, stacks[ending_count] + HOLDER_STACK, CLONE_VM | CLONE_NEWUSER | SIGCHLD, &parent);
  int failed = errno;
  if (owner != ID_NONE && become_owner(self) != 0 && pid >= 0) {
    failed = errno;
    kill(pid, SIGKILL);
    ending[ending_count++] = pid;
    pid = -1;
  }
  if (pid < 0) {
    errno = failed;
    return -1;
  }
  format(path, sizeof path, "/proc/%d/ns/user", pid);
  int fd = write_map(pid, "uid_map", users) != 0 || write_map(pid, "gid_map", groups) != 0
               ? -1
               : open_path(path, O_RDONLY);
  int saved = errno;
  kill(pid, SIGKILL);
  /* its end takes a change of process, or several on a busy machine: there is other work meanwhile */
  ending[ending_count++] = pid;
  errno = saved;
  return fd;
}

int identity_act(uid_t uid, gid_t gid) {
  int death_signal = 0;
  prctl(PR_GET_PDEATHSIG, &death_signal);
  /* neither call tells whether it worked; asking with an impossible id tells what is in force */
  syscall(SYS_setfsgid, gid);
  syscall(SYS_setfsuid, uid);
  if ((uid_t)syscall(SYS_setfsuid, -1) != uid || (gid_t)syscall(SYS_setfsgid, -1) != gid) {
    errno = EPERM;
    return -1;
  }
  return take_back(death_signal);
}

int identity_enter(int user_namespace) {
  if (setns(user_namespace, CLONE_NEWUSER) != 0) return -1;
  /* the host's ids are none of this namespace's until these have been changed */
  if (syscall(SYS_setgroups, 0, NULL) != 0 || syscall(SYS_setresgid, 0, 0, 0) != 0 ||
      syscall(SYS_setresuid, 0, 0, 0) != 0)
    return -1;
  return 0;
}

int identity_limit(uint64_t capabilities) {
  /* what starting a job as another user takes, whatever the job itself may */
  static const uint64_t own = 1ULL << CAP_SETUID | 1ULL << CAP_SETGID | 1ULL << CAP_KILL |
                              1ULL << CAP_SETPCAP | 1ULL << CAP_SYS_RESOURCE;
  struct capability_sets sets;
  for (int capability = 0; capability < 64; capability++) {
    if ((capabilities >> capability & 1) != 0 || prctl(PR_CAPBSET_DROP, capability) == 0) continue;
    if (errno != EINVAL) return -1;
    break; /* this kernel has no such one, and none above it */
  }
  if (read_capabilities(&sets) != 0) return -1;
  for (int i = 0; i < 2; i++) {
    uint32_t kept = (uint32_t)((capabilities | own) >> (32 * i));
    sets.data[i].permitted &= kept;
    sets.data[i].effective = sets.data[i].permitted;
    sets.data[i].inheritable = 0;
  }
  return (int)syscall(SYS_capset, &sets.header, sets.data);
}
