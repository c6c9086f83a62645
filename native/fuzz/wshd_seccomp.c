/*
 * The system-call filter, run by an interpreter over what a container may ask: four-byte architecture
 * selector and number, then six arguments. The verdict is compared with the rules written down a second time,
 * the plain way.
 */
#include "fuzz.h"

#include "../wshd/seccomp.h"
#include "../wshd/seccomp_calls.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <sys/resource.h>
#include <sys/socket.h>

#if defined __x86_64__
#define NATIVE AUDIT_ARCH_X86_64
#else
#define NATIVE AUDIT_ARCH_AARCH64
#endif

static uint32_t word_at(const struct seccomp_data *data, uint32_t offset) {
  uint32_t word;
  must(offset <= sizeof *data - sizeof word && offset % sizeof word == 0);
  memcpy(&word, (const unsigned char *)data + offset, sizeof word);
  return word;
}

/* Only what the kernel lets a filter do, of what the builder uses; jumps go forward, so it ends. */
static uint32_t interpret(const struct sock_filter *program, size_t length, const struct seccomp_data *data) {
  uint32_t accumulator = 0;
  for (size_t at = 0;; at++) {
    must(at < length);
    const struct sock_filter *one = &program[at];
    bool holds = false;
    switch (one->code) {
      case BPF_LD | BPF_W | BPF_ABS:
        accumulator = word_at(data, one->k);
        continue;
      case BPF_ALU | BPF_AND | BPF_K:
        accumulator &= one->k;
        continue;
      case BPF_RET | BPF_K:
        return one->k;
      case BPF_JMP | BPF_JEQ | BPF_K:
        holds = accumulator == one->k;
        break;
      case BPF_JMP | BPF_JGE | BPF_K:
        holds = accumulator >= one->k;
        break;
      case BPF_JMP | BPF_JSET | BPF_K:
        holds = (accumulator & one->k) != 0;
        break;
      default:
        must(!"an instruction that the builder does not use");
    }
    at += holds ? one->jt : one->jf;
  }
}

static bool is_listed(uint32_t call) {
#define SAME(number) || call == (uint32_t)(number)
  return false SECCOMP_CALLS(SAME);
#undef SAME
}

static uint32_t expected_of_limits(const struct seccomp_data *data, bool no_core_dumps) {
  if ((uint32_t)data->nr == SYS_setrlimit)
    return no_core_dumps && (uint32_t)data->args[0] == RLIMIT_CORE ? SECCOMP_RET_ERRNO : SECCOMP_RET_ALLOW;
  if ((uint32_t)data->args[0] == 1) return SECCOMP_RET_ERRNO | EPERM;
  if (!no_core_dumps || (uint32_t)data->args[1] != RLIMIT_CORE) return SECCOMP_RET_ALLOW;
  /* getrlimit(3), setrlimit(3), and prlimit(2) with both */
  const bool sets = data->args[2] != 0, reads = data->args[3] != 0;
  if (!sets) return SECCOMP_RET_ALLOW;
  return reads ? SECCOMP_RET_ERRNO | EPERM : SECCOMP_RET_ERRNO;
}

/* The sockets that jobs have, besides raw ones; the kernel would look for a module for anything else. */
static bool is_of_the_internet(uint32_t family, uint32_t type, uint32_t protocol) {
  static const struct {
    uint32_t family, type, protocol;
  } kinds[] = {{AF_INET, SOCK_STREAM, 0},    {AF_INET6, SOCK_STREAM, 0},   {AF_INET, SOCK_STREAM, 6},
               {AF_INET6, SOCK_STREAM, 6},   {AF_INET, SOCK_STREAM, 262},  {AF_INET6, SOCK_STREAM, 262},
               {AF_INET, SOCK_DGRAM, 0},     {AF_INET6, SOCK_DGRAM, 0},    {AF_INET, SOCK_DGRAM, 17},
               {AF_INET6, SOCK_DGRAM, 17},   {AF_INET, SOCK_DGRAM, 136},   {AF_INET6, SOCK_DGRAM, 136},
               {AF_INET, SOCK_DGRAM, 1},     {AF_INET6, SOCK_DGRAM, 58}};
  const uint32_t flagless = type % 16; /* flags that it does not know the kernel refuses */
  bool found = flagless == SOCK_RAW;
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
    found |= kinds[i].family == family && kinds[i].type == flagless && kinds[i].protocol == protocol;
  return found;
}

static uint32_t expected(const struct seccomp_data *data, const struct seccomp_rules *rules) {
  const uint32_t call = (uint32_t)data->nr, first = (uint32_t)data->args[0], second = (uint32_t)data->args[1],
                 third = (uint32_t)data->args[2];
  const uint32_t eperm = SECCOMP_RET_ERRNO | EPERM, enosys = SECCOMP_RET_ERRNO | ENOSYS;
  if (data->arch != NATIVE) return SECCOMP_RET_KILL_PROCESS;
#if defined __x86_64__
  if (call == UINT32_MAX) return enosys;
  if (call >= 0x40000000) return SECCOMP_RET_KILL_PROCESS;
#endif
  if (call == SYS_clone) return (first & 0x7e020000) != 0 ? eperm : SECCOMP_RET_ALLOW;
  if (call == SYS_socket) {
    if (first == AF_UNIX || (first == AF_NETLINK && third == 0)) return SECCOMP_RET_ALLOW;
    if (first != AF_INET && first != AF_INET6) return SECCOMP_RET_ERRNO | EAFNOSUPPORT;
    return is_of_the_internet(first, second, third) ? SECCOMP_RET_ALLOW : SECCOMP_RET_ERRNO | EPROTONOSUPPORT;
  }
  if (call == SYS_setsockopt) {
    bool has_key_name = second == 6 && third >= 38 && third <= 42;
    return has_key_name ? SECCOMP_RET_ERRNO | ENOPROTOOPT : SECCOMP_RET_ALLOW;
  }
  if (call == SYS_socketpair) return first == AF_UNIX ? SECCOMP_RET_ALLOW : SECCOMP_RET_ERRNO | EOPNOTSUPP;
  if (call == SYS_ioctl) {
    bool makes_subvolume =
        second == 0x50009401 || second == 0x5000940e || second == 0x50009417 || second == 0x50009418;
    bool loads_module = second == 0x5423 || second == 0x8940 || second == 0x8941 || second == 0x8982 ||
                        second == 0x8983 || second == 0x89a0 || second == 0x89a1;
    bool leaves_project = rules->on_host_users && (second == 0x401c5820 || second == 0x40086602);
    return second == 0x5412 || second == 0x541c || makes_subvolume || loads_module || leaves_project
               ? eperm
               : SECCOMP_RET_ALLOW;
  }
  if (call == SYS_prlimit64 || call == SYS_setrlimit) return expected_of_limits(data, rules->no_core_dumps);
  if (call == SYS_sched_setscheduler || call == SYS_sched_setparam || call == SYS_sched_setattr ||
      call == SYS_sched_setaffinity)
    return first == 1 ? eperm : SECCOMP_RET_ALLOW;
  if (call == SYS_setpriority) return second == 1 || first == PRIO_USER ? eperm : SECCOMP_RET_ALLOW;
  if (call == SYS_ioprio_set) return second == 1 || first == 3 ? eperm : SECCOMP_RET_ALLOW;
  if (call == SYS_personality)
    return first == 0 || first == 8 || first == 0x20000 || first == 0x20008 || first == UINT32_MAX
               ? SECCOMP_RET_ALLOW
               : eperm;
  if (call == 435 || call == SYS_io_setup) return enosys;
  if (call > NR_LAST) return enosys;
  return is_listed(call) ? SECCOMP_RET_ALLOW : eperm;
}

#define KINDS 4
static const struct seccomp_rules kinds[KINDS] = {
    {true, false}, {false, false}, {true, true}, {false, true}};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static struct sock_filter programs[KINDS][SECCOMP_PROGRAM_MAX];
  static size_t lengths[KINDS];
  for (int rules = 0; lengths[KINDS - 1] == 0 && rules < KINDS; rules++) {
    lengths[rules] = seccomp_program(programs[rules], SECCOMP_PROGRAM_MAX, &kinds[rules]);
    must(lengths[rules] > 0);
    /* every call there is, whatever follows */
    for (int call = -1; call < 1024; call++) {
      const struct seccomp_data plain = {.nr = call, .arch = NATIVE};
      must(interpret(programs[rules], lengths[rules], &plain) == expected(&plain, &kinds[rules]));
    }
    /* every kind of socket and of option that there may be, which takes more luck than a search has */
    for (uint64_t kind = 0; kind < 48 * 16 * 300; kind++) {
      const struct seccomp_data one = {
          .nr = SYS_socket,
          .arch = NATIVE,
          .args = {kind % 48, kind / 48 % 16 | (kind % 7 == 0 ? SOCK_CLOEXEC : 0u), kind / (48 * 16)}};
      must(interpret(programs[rules], lengths[rules], &one) == expected(&one, &kinds[rules]));
    }
    for (uint64_t kind = 0; kind < 300 * 64; kind++) {
      const struct seccomp_data one = {
          .nr = SYS_setsockopt, .arch = NATIVE, .args = {3, kind / 64, kind % 64}};
      must(interpret(programs[rules], lengths[rules], &one) == expected(&one, &kinds[rules]));
    }
    /* what is asked of files, and what has numbers beside it */
    for (uint32_t i = 0; i < 128; i++) {
      const uint32_t request = (i < 64 ? 0x401c5800u : 0x40086600u) + i % 64;
      const struct seccomp_data one = {.nr = SYS_ioctl, .arch = NATIVE, .args = {3, request}};
      must(interpret(programs[rules], lengths[rules], &one) == expected(&one, &kinds[rules]));
    }
  }
  struct input input = {.at = data, .left = size};
  while (input.left > 0) {
    struct seccomp_data call = {.arch = NATIVE};
    uint8_t kind = input_byte(&input);
    const int rules = kind >> 5 & 3;
    const struct sock_filter *program = programs[rules];
    const size_t length = lengths[rules];
    if (kind % 8 == 7) call.arch = input_number(&input, 4);
    call.nr = (int)input_number(&input, kind % 8 == 6 ? 4 : 2);
    for (int i = 0; i < 6; i++)
      call.args[i] = (uint64_t)input_number(&input, 4) | (uint64_t)(kind & 0x80 ? input_number(&input, 4) : 0)
                                                             << 32;
    must(interpret(program, length, &call) == expected(&call, &kinds[rules]));
    /* a program that does not fit is none, and nothing is written behind the room */
    size_t room = (size_t)input_number(&input, 2) % (length + 2);
    struct sock_filter *small = malloc((room == 0 ? 1 : room) * sizeof *small);
    must(small != NULL && seccomp_program(small, room, &kinds[rules]) == (room >= length ? length : 0));
    free(small);
  }
  return 0;
}
