#include "seccomp.h"

#include "seccomp_calls.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined __x86_64__
#define ARCHITECTURE AUDIT_ARCH_X86_64
#define X32_BIT 0x40000000u
#elif defined __aarch64__
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#else
#error "the system-call filter knows x86_64 and aarch64"
#endif

#define SYS_CLONE3 435
/*
 * NEWNS NEWCGROUP NEWUTS NEWIPC NEWUSER NEWPID NEWNET. NEWTIME cannot be asked for by clone(2): its bit
 * belongs to the exit signal.
 */
#define NAMESPACE_FLAGS 0x7e020000u
/* ioctl(2) requests that type into a terminal as if its user had: an escape from whoever lent it. */
#define TYPE_INTO_TERMINAL 0x5412u
#define TERMINAL_CONTROL 0x541cu
/*
 * What makes the kernel load a module for whoever asks, and moby's profile lets through: TIOCSETD (the
 * disciplines of lines, "tty-ldisc-N"); SIOCGIFBR, SIOCSIFBR, SIOCBRADDBR, SIOCBRDELBR ("bridge");
 * SIOCGIFVLAN, SIOCSIFVLAN ("8021q"). What they are for takes rights that nobody inside has.
 */
static const uint32_t module_requests[] = {0x5423, 0x8940, 0x8941, 0x89a0, 0x89a1, 0x8982, 0x8983};
/*
 * Sockets of the internet that every kernel has built in, or does not have: TCP and MPTCP, UDP and UDP-Lite,
 * and ICMP. For any other pair of type and protocol the kernel would load a module (SCTP, DCCP, L2TP), and
 * the network would not carry it. Raw sockets have any number, and need a right.
 */
static const uint32_t stream_protocols[] = {0, 6, 262};
static const uint32_t datagram_protocols[] = {0, 17, 136};
#define ICMP 1u
#define ICMP_V6 58u
#define TYPE_OF_SOCKET 0xfu /* what else there is are flags: linux/net.h */
/*
 * BTRFS_IOC_SNAP_CREATE, SUBVOL_CREATE and their second versions: what lies in a subvolume of one's own
 * counts for no disk limit.
 */
static const uint32_t subvolume_requests[] = {0x50009401, 0x5000940e, 0x50009417, 0x50009418};
/*
 * FS_IOC_FSSETXATTR and FS_IOC_SETFLAGS: the project of a file, for which its space is counted, and whether a
 * directory hands it on. In a user namespace the kernel refuses to change either.
 */
static const uint32_t project_requests[] = {0x401c5820, 0x40086602};
/*
 * TCP_AO_ADD_KEY, DEL_KEY, INFO, GET_KEYS and REPAIR: a key names a hash, and the kernel loads whatever
 * module of its cryptography has that name, for everybody. (TCP_CONGESTION and TCP_ULP load for
 * administrators of the host's network alone.)
 */
static const uint32_t tcp_ao_options[] = {38, 39, 40, 41, 42};

#define IOPRIO_USER 3u /* linux/ioprio.h */
#define SOL_TCP 6u

#define NUMBER offsetof(struct seccomp_data, nr)
/*
 * The low half of an argument. Both architectures are little-endian; what the kernel reads as int is just
 * this half.
 */
#define ARGUMENT(n) (uint32_t)(offsetof(struct seccomp_data, args) + (n) * sizeof(uint64_t))
#define UPPER_HALF(n) (ARGUMENT(n) + (uint32_t)sizeof(uint32_t)) /* of a pointer */

#define ALLOW SECCOMP_RET_ALLOW
#define REFUSE(error) (SECCOMP_RET_ERRNO | (error))
#define PRETEND REFUSE(0u) /* the call does nothing and succeeds */

struct builder {
  struct sock_filter *program;
  size_t length, room;
  bool is_cut; /* a jump is farther than its field can say: it would end somewhere else */
};

static void emit(struct builder *to, uint16_t code, uint8_t jt, uint8_t jf, uint32_t k) {
  if (to->length < to->room)
    to->program[to->length] = (struct sock_filter){.code = code, .jt = jt, .jf = jf, .k = k};
  to->length++;
}

static void load(struct builder *to, uint32_t offset) { emit(to, BPF_LD | BPF_W | BPF_ABS, 0, 0, offset); }
static void answer(struct builder *to, uint32_t verdict) { emit(to, BPF_RET | BPF_K, 0, 0, verdict); }

/* If the accumulator is `value`, the verdict. */
static void answer_if(struct builder *to, uint32_t value, uint32_t verdict) {
  emit(to, BPF_JMP | BPF_JEQ | BPF_K, 0, 1, value);
  answer(to, verdict);
}

#define ANSWER_IF_ONE_OF(to, values, verdict)                                                                \
  for (size_t one_of = 0; one_of < sizeof(values) / sizeof *(values); one_of++)                              \
  answer_if(to, (values)[one_of], verdict)

static void answer_if_any(struct builder *to, uint32_t bits, uint32_t verdict) {
  emit(to, BPF_JMP | BPF_JSET | BPF_K, 0, 1, bits);
  answer(to, verdict);
}

/* From behind the jump at `jump` to what comes next. */
static uint8_t distance(struct builder *to, size_t jump) {
  const size_t passed = to->length - jump - 1;
  if (passed > UINT8_MAX) to->is_cut = true;
  return (uint8_t)passed;
}

/*
 * Opens a block for one value of the accumulator, such as a system call; close_block() makes every other one
 * jump over it. The block must end with an answer.
 */
static size_t open_block(struct builder *to, uint32_t value) {
  emit(to, BPF_JMP | BPF_JEQ | BPF_K, 0, 0, value);
  return to->length - 1;
}

static void close_block(struct builder *to, size_t opened) {
  if (opened < to->room) to->program[opened].jf = distance(to, opened);
}

static void check_architecture(struct builder *to) {
  load(to, offsetof(struct seccomp_data, arch));
  emit(to, BPF_JMP | BPF_JEQ | BPF_K, 1, 0, ARCHITECTURE);
  answer(to, SECCOMP_RET_KILL_PROCESS);
  load(to, NUMBER);
#ifdef X32_BIT
  /* not for -1, which a tracer sets to have a call skipped */
  answer_if(to, UINT32_MAX, REFUSE(ENOSYS));
  emit(to, BPF_JMP | BPF_JGE | BPF_K, 0, 1, X32_BIT);
  answer(to, SECCOMP_RET_KILL_PROCESS);
#endif
}

/*
 * The limits of a process, by its number: 0 is the caller. In the namespace that this filter is for, 1 is
 * init, and no other namespace can be made.
 */
static void check_limits(struct builder *to, bool no_core_dumps) {
  size_t block = open_block(to, SYS_prlimit64);
  load(to, ARGUMENT(0));
  answer_if(to, 1, REFUSE(EPERM));
  if (no_core_dumps) {
    load(to, ARGUMENT(1));
    emit(to, BPF_JMP | BPF_JEQ | BPF_K, 1, 0, RLIMIT_CORE);
    answer(to, ALLOW);
    /* no new limit: it is only read */
    load(to, ARGUMENT(2));
    emit(to, BPF_JMP | BPF_JEQ | BPF_K, 0, 3, 0);
    load(to, UPPER_HALF(2));
    answer_if(to, 0, ALLOW);
    /* who asks for the old one as well would not get it */
    load(to, ARGUMENT(3));
    answer_if_any(to, UINT32_MAX, REFUSE(EPERM));
    load(to, UPPER_HALF(3));
    answer_if_any(to, UINT32_MAX, REFUSE(EPERM));
    answer(to, PRETEND);
  } else {
    answer(to, ALLOW);
  }
  close_block(to, block);
  if (!no_core_dumps) return;
  block = open_block(to, SYS_setrlimit);
  load(to, ARGUMENT(0));
  answer_if(to, RLIMIT_CORE, PRETEND);
  answer(to, ALLOW);
  close_block(to, block);
}

/*
 * Who gets how much of the processors: whoever is root inside has init's uid, which is all that the kernel
 * asks for.
 */
static void check_priorities(struct builder *to) {
  static const uint32_t by_first[] = {SYS_sched_setscheduler, SYS_sched_setparam, SYS_sched_setattr,
                                      SYS_sched_setaffinity};
  for (size_t i = 0; i < sizeof by_first / sizeof *by_first; i++) {
    size_t block = open_block(to, by_first[i]);
    load(to, ARGUMENT(0));
    answer_if(to, 1, REFUSE(EPERM));
    answer(to, ALLOW);
    close_block(to, block);
  }
  /* their second argument is a process, a group (init leads one) or a user */
  static const struct {
    uint32_t call, user;
  } by_second[] = {{SYS_setpriority, PRIO_USER}, {SYS_ioprio_set, IOPRIO_USER}};
  for (size_t i = 0; i < sizeof by_second / sizeof *by_second; i++) {
    size_t block = open_block(to, by_second[i].call);
    load(to, ARGUMENT(1));
    answer_if(to, 1, REFUSE(EPERM));
    load(to, ARGUMENT(0));
    answer_if(to, by_second[i].user, REFUSE(EPERM));
    answer(to, ALLOW);
    close_block(to, block);
  }
}

static void check_internet(struct builder *to, uint32_t family, uint32_t icmp) {
  size_t block = open_block(to, family);
  load(to, ARGUMENT(1));
  emit(to, BPF_ALU | BPF_AND | BPF_K, 0, 0, TYPE_OF_SOCKET);
  answer_if(to, SOCK_RAW, ALLOW);
  size_t type = open_block(to, SOCK_STREAM);
  load(to, ARGUMENT(2));
  ANSWER_IF_ONE_OF(to, stream_protocols, ALLOW);
  answer(to, REFUSE(EPROTONOSUPPORT));
  close_block(to, type);
  type = open_block(to, SOCK_DGRAM);
  load(to, ARGUMENT(2));
  ANSWER_IF_ONE_OF(to, datagram_protocols, ALLOW);
  answer_if(to, icmp, ALLOW);
  answer(to, REFUSE(EPROTONOSUPPORT));
  close_block(to, type);
  answer(to, REFUSE(EPROTONOSUPPORT));
  close_block(to, block);
}

/*
 * Which sockets there are. A family, type or protocol that is not there yet would be loaded by the kernel
 * before it looks at anything else.
 */
static void check_sockets(struct builder *to) {
  size_t block = open_block(to, SYS_socket);
  load(to, ARGUMENT(0));
  answer_if(to, AF_UNIX, ALLOW);
  size_t netlink = open_block(to, AF_NETLINK);
  load(to, ARGUMENT(2));
  answer_if(to, 0, ALLOW); /* NETLINK_ROUTE: what getifaddrs(3) asks */
  answer(to, REFUSE(EAFNOSUPPORT));
  close_block(to, netlink);
  check_internet(to, AF_INET, ICMP);
  check_internet(to, AF_INET6, ICMP_V6);
  answer(to, REFUSE(EAFNOSUPPORT));
  close_block(to, block);

  block = open_block(to, SYS_setsockopt);
  load(to, ARGUMENT(1));
  emit(to, BPF_JMP | BPF_JEQ | BPF_K, 1, 0, SOL_TCP);
  answer(to, ALLOW);
  load(to, ARGUMENT(2));
  ANSWER_IF_ONE_OF(to, tcp_ao_options, REFUSE(ENOPROTOOPT));
  answer(to, ALLOW);
  close_block(to, block);

  /* besides this family TIPC alone has pairs */
  block = open_block(to, SYS_socketpair);
  load(to, ARGUMENT(0));
  answer_if(to, AF_UNIX, ALLOW);
  answer(to, REFUSE(EOPNOTSUPP));
  close_block(to, block);
}

/* Calls whose arguments decide. */
static void check_arguments(struct builder *to, const struct seccomp_rules *rules) {
  size_t block = open_block(to, SYS_clone);
  load(to, ARGUMENT(0));
  answer_if_any(to, NAMESPACE_FLAGS, REFUSE(EPERM));
  answer(to, ALLOW);
  close_block(to, block);

  block = open_block(to, SYS_ioctl);
  load(to, ARGUMENT(1));
  answer_if(to, TYPE_INTO_TERMINAL, REFUSE(EPERM));
  answer_if(to, TERMINAL_CONTROL, REFUSE(EPERM));
  ANSWER_IF_ONE_OF(to, subvolume_requests, REFUSE(EPERM));
  ANSWER_IF_ONE_OF(to, module_requests, REFUSE(EPERM));
  if (rules->on_host_users) ANSWER_IF_ONE_OF(to, project_requests, REFUSE(EPERM));
  answer(to, ALLOW);
  close_block(to, block);

  static const uint32_t personalities[] = {0x0, 0x8, 0x20000, 0x20008, UINT32_MAX};
  block = open_block(to, SYS_personality);
  load(to, ARGUMENT(0));
  ANSWER_IF_ONE_OF(to, personalities, ALLOW);
  answer(to, REFUSE(EPERM));
  close_block(to, block);

  check_sockets(to);
  check_limits(to, rules->no_core_dumps);
  check_priorities(to);
  answer_if(to, SYS_CLONE3, REFUSE(ENOSYS)); /* its flags lie in memory, out of a filter's sight */
  answer_if(to, SYS_io_setup, REFUSE(ENOSYS));
}

struct boundary {
  uint32_t from, verdict; /* calls from this number up to the next boundary's */
};

/*
 * A search tree, so that no call costs more than a few comparisons; the kernel caches the verdicts of calls
 * that end here anyway.
 */
static void emit_tree(struct builder *to, const struct boundary *boundaries, size_t count) {
  if (count == 1) {
    answer(to, boundaries[0].verdict);
    return;
  }
  size_t half = count / 2, jump = to->length;
  emit(to, BPF_JMP | BPF_JGE | BPF_K, 0, 0, boundaries[half].from);
  emit_tree(to, boundaries, half);
  if (jump < to->room) to->program[jump].jt = distance(to, jump);
  emit_tree(to, boundaries + half, count - half);
}

static void check_number(struct builder *to) {
#define ITEM(call) [call] = true,
  static const bool allowed[NR_LAST + 1] = {SECCOMP_CALLS(ITEM)};
#undef ITEM
  struct boundary boundaries[NR_LAST + 2];
  size_t used = 0;
  for (uint32_t call = 0; call <= NR_LAST; call++) {
    if (call == 0 || allowed[call] != allowed[call - 1])
      boundaries[used++] = (struct boundary){call, allowed[call] ? ALLOW : REFUSE(EPERM)};
  }
  boundaries[used++] = (struct boundary){NR_LAST + 1, REFUSE(ENOSYS)};
  emit_tree(to, boundaries, used);
}

size_t seccomp_program(struct sock_filter *program, size_t room, const struct seccomp_rules *rules) {
  struct builder to = {.program = program, .room = room};
  check_architecture(&to);
  check_arguments(&to, rules);
  check_number(&to);
  return to.length <= room && !to.is_cut ? to.length : 0;
}

int seccomp_install(const struct seccomp_rules *rules) {
  static struct sock_filter program[SECCOMP_PROGRAM_MAX];
  struct sock_fprog filter = {.filter = program};
  filter.len = (unsigned short)seccomp_program(program, SECCOMP_PROGRAM_MAX, rules);
  if (filter.len == 0) {
    errno = E2BIG;
    return -1;
  }
  return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0u, &filter);
}
