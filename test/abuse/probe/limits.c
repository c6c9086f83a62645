/*
 * Limits of the process: whether it can raise them, and whether those that protect the host are there at all.
 */
#include "probe.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LIMIT(name)                                                                                          \
  { #name, RLIMIT_##name }
static const struct {
  const char *name;
  int resource;
} resources[] = {
    LIMIT(AS),    LIMIT(CORE),    LIMIT(CPU),      LIMIT(DATA),       LIMIT(FSIZE),
    LIMIT(LOCKS), LIMIT(MEMLOCK), LIMIT(MSGQUEUE), LIMIT(NICE),       LIMIT(NOFILE),
    LIMIT(NPROC), LIMIT(RSS),     LIMIT(RTPRIO),   LIMIT(SIGPENDING), LIMIT(STACK),
};

/* One more than the hard limit. Without a limit there is nothing to raise. */
static int raise_limit(const void *argument) {
  int resource = (int)(intptr_t)argument;
  struct rlimit limit;
  if (getrlimit(resource, &limit) != 0) return -1;
  if (limit.rlim_max == RLIM_INFINITY) {
    errno = ENOENT;
    return -1;
  }
  limit.rlim_max++;
  return setrlimit(resource, &limit);
}

static int limit_of_init(const void *argument) {
  struct rlimit limit = {.rlim_cur = 1, .rlim_max = 1};
  (void)argument;
  return prlimit(1, RLIMIT_NOFILE, &limit, NULL);
}

/* To another nice value than it has, and back: root inside has the number that init has. */
static int nice_of_init(const void *argument) {
  int which = (int)(intptr_t)argument, who = which == PRIO_USER ? (int)getuid() : 1;
  return setpriority(which, who, 19);
}

static int affinity_of_init(const void *argument) {
  cpu_set_t set;
  (void)argument;
  CPU_ZERO(&set);
  CPU_SET(0, &set);
  return sched_setaffinity(1, sizeof set, &set);
}

static int scheduler_of_init(const void *argument) {
  struct sched_param parameter = {.sched_priority = 0};
  (void)argument;
  return sched_setscheduler(1, 5 /* SCHED_IDLE */, &parameter);
}

static int attributes_of_init(const void *argument) {
  uint32_t attr[12] = {48, 5};
  (void)argument;
  return (int)syscall(SYS_sched_setattr, 1, attr, 0);
}

static int io_of_init(const void *argument) {
  (void)argument;
  return (int)syscall(SYS_ioprio_set, 1, 1, 3 << 13);
}

static int score_of_init(const void *argument) {
  (void)argument;
  int fd = open("/proc/1/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (fd < 0) return -1;
  return write(fd, "1000", 4) < 0 ? -1 : 0;
}

static int lower_nice(const void *argument) {
  (void)argument;
  errno = 0;
  int before = getpriority(PRIO_PROCESS, 0);
  if (errno != 0) return -1;
  if (before <= -20) return inconclusive("is-lowest");
  return setpriority(PRIO_PROCESS, 0, before - 1);
}

static int schedule(const void *argument) {
  struct sched_param parameter = {.sched_priority = 1};
  return sched_setscheduler(0, (int)(intptr_t)argument, &parameter);
}

static int schedule_deadline(const void *argument) {
  struct {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
  } attr = {.size = 48, .policy = 6, .runtime = 1000000, .deadline = 2000000, .period = 2000000};
  (void)argument;
  return (int)syscall(SYS_sched_setattr, 0, &attr, 0);
}

static int io_realtime(const void *argument) {
  (void)argument;
  return (int)syscall(SYS_ioprio_set, 1, 0, 1 << 13);
}

/*
 * Below what processes of the host have. One that the container's own init has raised may be lowered as far
 * as that.
 */
static int out_of_memory_score(const void *argument) {
  (void)argument;
  int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  return fd < 0 || write(fd, "-1", 2) < 0 ? -1 : 0;
}

static int lock_memory(const void *argument) {
  (void)argument;
  const size_t size = 512u << 20;
  char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return -1;
  return mlock2(memory, size, MLOCK_ONFAULT);
}

static int dump_core(const void *argument) {
  struct rlimit limit;
  (void)argument;
  if (getrlimit(RLIMIT_CORE, &limit) != 0) return -1;
  errno = EPERM;
  return limit.rlim_max > 0 ? 0 : -1;
}

static int set_mm(const void *argument) {
  (void)argument;
  return prctl(PR_SET_MM, PR_SET_MM_START_BRK, 0x10000, 0, 0);
}

static int huge_pages(const void *argument) {
  (void)argument;
  void *memory =
      mmap(NULL, 2u << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
  return memory == MAP_FAILED ? -1 : 0;
}

void try_limits(void) {
  for (size_t i = 0; i < sizeof resources / sizeof *resources; i++)
    attempt(raise_limit, (void *)(intptr_t)resources[i].resource, "limit/raise/%s", resources[i].name);
  attempt(limit_of_init, NULL, "limit/of-init");
  attempt(nice_of_init, (void *)PRIO_PROCESS, "limit/nice-of-init");
  attempt(nice_of_init, (void *)PRIO_PGRP, "limit/nice-of-group-of-init");
  attempt(nice_of_init, (void *)PRIO_USER, "limit/nice-of-user");
  attempt(affinity_of_init, NULL, "limit/affinity-of-init");
  attempt(scheduler_of_init, NULL, "limit/scheduler-of-init");
  attempt(attributes_of_init, NULL, "limit/attributes-of-init");
  attempt(io_of_init, NULL, "limit/io-priority-of-init");
  attempt(score_of_init, NULL, "limit/oom-score-of-init");
  attempt(dump_core, NULL, "limit/core-dumps");
  attempt(lower_nice, NULL, "limit/nice");
  attempt(schedule, (void *)SCHED_FIFO, "limit/sched-fifo");
  attempt(schedule, (void *)SCHED_RR, "limit/sched-rr");
  attempt(schedule_deadline, NULL, "limit/sched-deadline");
  attempt(io_realtime, NULL, "limit/io-realtime");
  attempt(out_of_memory_score, NULL, "limit/oom-score");
  attempt(lock_memory, NULL, "limit/mlock-512M");
  attempt(huge_pages, NULL, "limit/huge-pages");
  attempt(set_mm, NULL, "limit/prctl-mm");
}
