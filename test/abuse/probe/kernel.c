/*
 * Services of the kernel that belong to the host: keys, programs in the kernel, modules, clocks, swap and the
 * like.
 */
#include "probe.h"

#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/perf_event.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

enum { IO_URING_SETUP = 425, IO_URING_ENTER, IO_URING_REGISTER, QUOTACTL_FD = 443 };

struct call {
  const char *name;
  long number, arguments[6];
};

static int calls(const void *argument) {
  const struct call *call = argument;
  const long *a = call->arguments;
  return (int)raw_call(call->number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

static int adds_key(const void *argument) {
  return (int)syscall(SYS_add_key, "user", "abuse", "x", 1, (long)(intptr_t)argument);
}
static int requests_key(const void *argument) {
  return (int)syscall(SYS_request_key, "user", "abuse-missing", argument, -3);
}

/* Keys have small numbers; any that can be described is somebody's. */
static int describes_keys(const void *argument) {
  char text[256];
  int error = ENOENT;
  (void)argument;
  for (long serial = 1; serial < (given.brief ? 1l << 12 : 1l << 20); serial++) {
    if (syscall(SYS_keyctl, 6, serial, text, sizeof text) >= 0) return 0;
    error = errno;
    if (error == EPERM || error == ENOSYS) break;
  }
  errno = error;
  return -1;
}

static int loads_program(const void *argument) {
  struct bpf_insn code[] = {{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = 0},
                            {.code = BPF_JMP | BPF_EXIT}};
  union bpf_attr attr = {.prog_type = (unsigned)(uintptr_t)argument, .insn_cnt = 2};
  attr.insns = (uintptr_t)code;
  attr.license = (uintptr_t) "GPL";
  return (int)syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof attr);
}

static int makes_map(const void *argument) {
  union bpf_attr attr = {.map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4, .max_entries = 1};
  (void)argument;
  return (int)syscall(SYS_bpf, BPF_MAP_CREATE, &attr, sizeof attr);
}

static int walks_programs(const void *argument) {
  union bpf_attr attr = {.start_id = 0};
  return (int)syscall(SYS_bpf, (int)(intptr_t)argument, &attr, sizeof attr);
}

struct event {
  const char *name;
  unsigned type;
  unsigned long config;
  int pid, cpu;
};

static int opens_event(const void *argument) {
  const struct event *event = argument;
  struct perf_event_attr attr = {
      .type = event->type, .size = sizeof attr, .config = event->config, .exclude_kernel = 1};
  return (int)syscall(SYS_perf_event_open, &attr, event->pid, event->cpu, -1, 0);
}

static int sets_up_ring(const void *argument) {
  char parameters[120] = {0};
  (void)argument;
  return (int)syscall(IO_URING_SETUP, 4, parameters);
}

static int sets_personality(const void *argument) { return personality((unsigned long)(uintptr_t)argument); }

static int sets_time(const void *argument) {
  struct timeval now;
  (void)argument;
  gettimeofday(&now, NULL);
  return (int)syscall(SYS_settimeofday, &now, NULL);
}

static int sets_clock(const void *argument) {
  struct timespec now;
  clock_gettime((clockid_t)(intptr_t)argument, &now);
  return (int)syscall(SYS_clock_settime, (clockid_t)(intptr_t)argument, &now);
}

static int adjusts_clock(const void *argument) {
  struct timex change = {.modes = ADJ_FREQUENCY};
  (void)argument;
  struct timex now = {.modes = 0};
  if (adjtimex(&now) < 0) return -1;
  change.freq = now.freq; /* what it is already */
  return adjtimex(&change);
}

static int names_host(const void *argument) {
  char name[128];
  if (gethostname(name, sizeof name) != 0) return -1;
  return (int)syscall((long)(intptr_t)argument, name, strlen(name));
}

static int restarts(const void *argument) {
  /* Ctrl-Alt-Del off: what it is nearly everywhere */
  return (int)syscall(SYS_reboot, 0xfee1dead, 672274793, (long)(intptr_t)argument, NULL);
}

void try_kernel(void) {
  attempt(adds_key, (void *)-1, "key/add-thread");
  attempt(adds_key, (void *)-2, "key/add-process");
  attempt(adds_key, (void *)-3, "key/add-session");
  attempt(adds_key, (void *)-5, "key/add-user-session");
  attempt(requests_key, NULL, "key/request");
  attempt(requests_key, "call out", "key/request-upcall");
  attempt(describes_keys, NULL, "key/describe-any");
  static const struct {
    const char *name;
    unsigned type;
  } programs[] = {{"socket-filter", 1}, {"kprobe", 2}, {"xdp", 6}, {"cgroup-device", 15}, {"cgroup-skb", 8}};
  for (size_t i = 0; i < sizeof programs / sizeof *programs; i++)
    attempt(loads_program, (void *)(uintptr_t)programs[i].type, "bpf/load-%s", programs[i].name);
  attempt(makes_map, NULL, "bpf/make-map");
  attempt(walks_programs, (void *)11, "bpf/next-program");
  attempt(walks_programs, (void *)12, "bpf/next-map");
  static const struct event events[] = {
      {"hardware", PERF_TYPE_HARDWARE, 0, 0, -1},     {"software", PERF_TYPE_SOFTWARE, 0, 0, -1},
      {"tracepoint", PERF_TYPE_TRACEPOINT, 1, 0, -1}, {"breakpoint", PERF_TYPE_BREAKPOINT, 0, 0, -1},
      {"whole-cpu", PERF_TYPE_SOFTWARE, 0, -1, 0},    {"of-init", PERF_TYPE_SOFTWARE, 0, 1, -1}};
  for (size_t i = 0; i < sizeof events / sizeof *events; i++)
    attempt(opens_event, &events[i], "perf/%s", events[i].name);
  attempt(sets_up_ring, NULL, "io_uring/setup");
  static const struct call simple[] = {
      {"io_uring/enter", IO_URING_ENTER, {-1, 0, 0, 0, 0, 0}},
      {"io_uring/register", IO_URING_REGISTER, {-1, 0, 0, 0, 0, 0}},
      {"key/keyctl-session", SYS_keyctl, {0, -3, 0, 0, 0, 0}},
      {"key/keyctl-join", SYS_keyctl, {1, 0, 0, 0, 0, 0}},
      {"key/keyctl-get-persistent", SYS_keyctl, {22, -1, -3, 0, 0, 0}},
      {"aio/setup", SYS_io_setup, {128, 0, 0, 0, 0, 0}},
      {"userfault/full", SYS_userfaultfd, {0, 0, 0, 0, 0, 0}},
      {"userfault/user-mode-only", SYS_userfaultfd, {1, 0, 0, 0, 0, 0}},
      {"fanotify/init", SYS_fanotify_init, {0, 0, 0, 0, 0, 0}},
      {"fanotify/init-unprivileged", SYS_fanotify_init, {0x200, 0, 0, 0, 0, 0}},
      {"module/finit", SYS_finit_module, {-1, 0, 0, 0, 0, 0}},
      {"module/init", SYS_init_module, {0, 0, 0, 0, 0, 0}},
      {"module/delete", SYS_delete_module, {(long)"abuse_missing", 0x800, 0, 0, 0, 0}},
      {"kexec/load", SYS_kexec_load, {0, 0, 0, 0, 0, 0}},
#ifdef SYS_kexec_file_load
      {"kexec/file-load", SYS_kexec_file_load, {-1, -1, 0, 0, 0, 0}},
#endif
      {"swap/on", SYS_swapon, {(long)"/tmp/swap", 0, 0, 0, 0, 0}},
      {"swap/off", SYS_swapoff, {(long)"/tmp/swap", 0, 0, 0, 0, 0}},
      {"acct/on", SYS_acct, {(long)"/tmp/acct", 0, 0, 0, 0, 0}},
      {"acct/off", SYS_acct, {0, 0, 0, 0, 0, 0}},
      {"quota/get-info", SYS_quotactl, {(long)(int)0x80000500, (long)"/dev/vda", 0, 0, 0, 0}},
      {"quota/sync-all", SYS_quotactl, {(long)(int)0x80000100, 0, 0, 0, 0, 0}},
      {"quota/by-descriptor", QUOTACTL_FD, {0, (long)(int)0x80000500, 0, 0, 0, 0}},
      {"syslog/read-all", SYS_syslog, {3, 0, 0, 0, 0, 0}},
      {"syslog/size-unread", SYS_syslog, {9, 0, 0, 0, 0, 0}},
      {"syslog/size-buffer", SYS_syslog, {10, 0, 0, 0, 0, 0}},
      {"memory-policy/set", SYS_set_mempolicy, {0, 0, 0, 0, 0, 0}},
      {"memory-policy/get", SYS_get_mempolicy, {0, 0, 0, 0, 0, 0}},
      {"memory-policy/move-of-init", SYS_move_pages, {1, 0, 0, 0, 0, 0}},
      {"memory-policy/migrate-init", SYS_migrate_pages, {1, 0, 0, 0, 0, 0}},
      {"terminal/vhangup", SYS_vhangup, {0, 0, 0, 0, 0, 0}},
      {"cookie/lookup", SYS_lookup_dcookie, {0, 0, 0, 0, 0, 0}},
#ifdef SYS_iopl
      {"ports/iopl", SYS_iopl, {3, 0, 0, 0, 0, 0}},
      {"ports/iopl-0", SYS_iopl, {0, 0, 0, 0, 0, 0}},
      {"ports/ioperm", SYS_ioperm, {0x70, 1, 1, 0, 0, 0}},
      {"descriptor-table/modify", SYS_modify_ldt, {0, 0, 0, 0, 0, 0}},
      {"obsolete/uselib", SYS_uselib, {(long)"/bin/busybox", 0, 0, 0, 0, 0}},
      {"obsolete/sysfs", SYS_sysfs, {3, 0, 0, 0, 0, 0}},
      {"obsolete/ustat", SYS_ustat, {0, 0, 0, 0, 0, 0}},
      {"obsolete/sysctl", SYS__sysctl, {0, 0, 0, 0, 0, 0}},
#endif
  };
  for (size_t i = 0; i < sizeof simple / sizeof *simple; i++)
    attempt(calls, &simple[i], "%s", simple[i].name);
  static const struct {
    const char *name;
    unsigned long value;
  } personalities[] = {{"no-random", 0x40000},
                       {"read-implies-exec", 0x400000},
                       {"mmap-page-zero", 0x100000},
                       {"compat-layout", 0x200000},
                       {"svr4", 1},
                       {"linux32-3gb", 0x8000008},
                       {"high-bits", 0x100040000ul}};
  for (size_t i = 0; i < sizeof personalities / sizeof *personalities; i++)
    attempt(sets_personality, (void *)personalities[i].value, "personality/%s", personalities[i].name);
  attempt(sets_personality, (void *)0ul, "personality/linux");
  attempt(sets_time, NULL, "clock/settimeofday");
  attempt(sets_clock, (void *)CLOCK_REALTIME, "clock/settime-realtime");
  attempt(sets_clock, (void *)CLOCK_TAI, "clock/settime-tai");
  attempt(adjusts_clock, NULL, "clock/adjust");
  attempt(names_host, (void *)SYS_sethostname, "host/sethostname");
  attempt(names_host, (void *)SYS_setdomainname, "host/setdomainname");
  attempt(restarts, (void *)0l, "host/reboot-cad-off");
}
