/* The maps of ids, and the filter of system calls as the kernel applies it. */
#include "identity.h"
#include "seccomp.h"
#include "tap.h"

#include <errno.h>
#include <linux/btrfs.h>
#include <linux/filter.h>
#include <linux/fs.h>
#include <linux/seccomp.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void test_maps(void) {
  struct id_map map = {.ranges = {{0, 100000, 65536}}, .count = 1};
  check(id_outside(&map, 0) == 100000, "the first id");
  check(id_outside(&map, 65535) == 165535, "the last id");
  check(id_outside(&map, 65536) == ID_NONE, "an id behind the last");
  check(id_map_swap(&map, 1000, 10005) == 0, "an exchange");
  check(id_outside(&map, 1000) == 110005 && id_outside(&map, 10005) == 101000, "both have changed places");
  check(id_outside(&map, 999) == 100999 && id_outside(&map, 1001) == 101001, "their neighbours have not");
  check(id_outside(&map, 10004) == 110004 && id_outside(&map, 10006) == 110006 &&
            id_outside(&map, 65535) == 165535,
        "nor those of the other");
  check(map.count == 5, "no empty range is left");

  uint64_t total = 0;
  for (size_t i = 0; i < map.count; i++) total += map.ranges[i].count;
  check(total == 65536, "no id is lost");

  struct id_map edges = {.ranges = {{0, 100000, 10}}, .count = 1};
  check(id_map_swap(&edges, 0, 9) == 0 && id_outside(&edges, 0) == 100009 &&
            id_outside(&edges, 9) == 100000 && edges.count == 3,
        "the ends of a range");
  struct id_map missing = {.ranges = {{0, 100000, 10}}, .count = 1};
  check(id_map_swap(&missing, 3, 77) == 0 && id_outside(&missing, 3) == 100003,
        "an id that is not mapped changes nothing");
  struct id_map nothing = {.count = 0};
  check(id_outside(&nothing, 42) == 42, "without a map ids are the same");
  struct id_map full = {.count = ID_RANGES_MAX};
  for (uint32_t i = 0; i < ID_RANGES_MAX; i++)
    full.ranges[i] = (struct id_range){i * 10, 100000 + i * 10, 10};
  check(id_map_swap(&full, 5, 15) == -1 && errno == E2BIG, "no room for the pieces");
}

/* A classic BPF machine, as far as the filter uses it. */
static uint32_t verdict_of(const struct sock_filter *program, size_t length,
                           const struct seccomp_data *call) {
  uint32_t accumulator = 0;
  for (size_t at = 0; at < length; at++) {
    const struct sock_filter *one = &program[at];
    switch (one->code) {
      case BPF_LD | BPF_W | BPF_ABS:
        memcpy(&accumulator, (const char *)call + one->k, sizeof accumulator);
        break;
      case BPF_ALU | BPF_AND | BPF_K:
        accumulator &= one->k;
        break;
      case BPF_JMP | BPF_JEQ | BPF_K:
        at += accumulator == one->k ? one->jt : one->jf;
        break;
      case BPF_JMP | BPF_JGE | BPF_K:
        at += accumulator >= one->k ? one->jt : one->jf;
        break;
      case BPF_JMP | BPF_JSET | BPF_K:
        at += (accumulator & one->k) != 0 ? one->jt : one->jf;
        break;
      case BPF_RET | BPF_K:
        return one->k;
      default:
        return 0xdeadbeef;
    }
  }
  return 0xdeadbeef;
}

static struct seccomp_rules rules;

static uint32_t judge(uint32_t arch, int number, const uint64_t arguments[6]) {
  static struct sock_filter program[SECCOMP_PROGRAM_MAX];
  size_t length = seccomp_program(program, SECCOMP_PROGRAM_MAX, &rules);
  struct seccomp_data call = {.nr = number, .arch = arch};
  memcpy(call.args, arguments, sizeof call.args);
  return verdict_of(program, length, &call);
}

/* Arguments that are left out are 0. */
#define JUDGE(arch, number, ...) judge(arch, number, (const uint64_t[6]){__VA_ARGS__})
#define OWN(number, ...) JUDGE(AUDIT_ARCH, number, __VA_ARGS__)
#ifdef __x86_64__
#define AUDIT_ARCH 0xc000003eu
#else
#define AUDIT_ARCH 0xc00000b7u
#endif
#define REFUSED(error) (0x00050000u | (error))
#define ALLOWED 0x7fff0000u
#define KILLED 0x80000000u

/*
 * What the kernel does not find as a pair of type and protocol, it would have loaded
 * (net-pf-2-proto-6-type-5); and a type 10 would be a socket of packets.
 */
static void test_internet_sockets(void) {
  enum { UDP_LITE = 136, MPTCP = 262, L2TP = 115, OF_DCCP = 6, OF_PACKETS = 10 };
  static const uint64_t flags[] = {0, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_CLOEXEC | SOCK_NONBLOCK};
  static const struct {
    uint64_t type, protocol;
    bool in_4, in_6;
  } sockets[] = {{SOCK_STREAM, 0, true, true},
                 {SOCK_STREAM, IPPROTO_TCP, true, true},
                 {SOCK_STREAM, MPTCP, true, true},
                 {SOCK_STREAM, IPPROTO_UDP, false, false},
                 {SOCK_STREAM, IPPROTO_ICMP, false, false},
                 {SOCK_STREAM, IPPROTO_SCTP, false, false},
                 {SOCK_DGRAM, 0, true, true},
                 {SOCK_DGRAM, IPPROTO_UDP, true, true},
                 {SOCK_DGRAM, UDP_LITE, true, true},
                 {SOCK_DGRAM, IPPROTO_ICMP, true, false},
                 {SOCK_DGRAM, IPPROTO_ICMPV6, false, true},
                 {SOCK_DGRAM, IPPROTO_TCP, false, false},
                 {SOCK_DGRAM, MPTCP, false, false},
                 {SOCK_DGRAM, L2TP, false, false},
                 {SOCK_RAW, 0, true, true},
                 {SOCK_RAW, IPPROTO_ICMP, true, true},
                 {SOCK_RAW, IPPROTO_SCTP, true, true},
                 {SOCK_RAW, IPPROTO_RAW, true, true},
                 {SOCK_RDM, 0, false, false},
                 {SOCK_SEQPACKET, 0, false, false},
                 {SOCK_SEQPACKET, IPPROTO_TCP, false, false},
                 {SOCK_SEQPACKET, IPPROTO_SCTP, false, false},
                 {OF_DCCP, 0, false, false},
                 {OF_DCCP, IPPROTO_DCCP, false, false},
                 {OF_PACKETS, 0, false, false},
                 {OF_PACKETS, IPPROTO_TCP, false, false},
                 {0, 0, false, false},
                 {15, 0, false, false}};
  for (size_t i = 0; i < sizeof sockets / sizeof *sockets; i++) {
    for (size_t j = 0; j < sizeof flags / sizeof *flags; j++) {
      const uint64_t type = sockets[i].type | flags[j], protocol = sockets[i].protocol;
      const bool holds = OWN(SYS_socket, AF_INET, type, protocol) ==
                             (sockets[i].in_4 ? ALLOWED : REFUSED(EPROTONOSUPPORT)) &&
                         OWN(SYS_socket, AF_INET6, type, protocol) ==
                             (sockets[i].in_6 ? ALLOWED : REFUSED(EPROTONOSUPPORT));
      if (!holds)
        printf("# type %llu, protocol %llu\n", (unsigned long long)type, (unsigned long long)protocol);
      check(holds, "a socket of the internet");
    }
  }
}

/* Keys of TCP-AO: the kernel loads the hash that they name. */
static void test_options_of_tcp(void) {
  enum { TX_DELAY = 37, FIRST_OF_AO = 38, LAST_OF_AO = 42, IS_MPTCP = 43 };
  for (uint64_t option = FIRST_OF_AO; option <= LAST_OF_AO; option++)
    check(OWN(SYS_setsockopt, 3, IPPROTO_TCP, option, 0x1000, 8) == REFUSED(ENOPROTOOPT) &&
              OWN(SYS_setsockopt, 3, 0xffffffff00000006ULL, option | 1ULL << 32, 0x1000, 8) ==
                  REFUSED(ENOPROTOOPT) &&
              OWN(SYS_setsockopt, 3, SOL_SOCKET, option, 0x1000, 8) == ALLOWED &&
              OWN(SYS_getsockopt, 3, IPPROTO_TCP, option, 0x1000, 8) == ALLOWED,
          "no key of TCP-AO is set");
  check(OWN(SYS_setsockopt, 3, IPPROTO_TCP, 1, 0x1000, 4) == ALLOWED &&
            OWN(SYS_setsockopt, 3, IPPROTO_TCP, TX_DELAY, 0x1000, 4) == ALLOWED &&
            OWN(SYS_setsockopt, 3, IPPROTO_TCP, IS_MPTCP, 0x1000, 4) == ALLOWED,
        "other options of TCP are free");
}

static void test_program(void) {
  static struct sock_filter program[SECCOMP_PROGRAM_MAX];
  check(seccomp_program(program, SECCOMP_PROGRAM_MAX, &rules) > 100, "there is a program");
  check(seccomp_program(program, 50, &rules) == 0, "it is not cut to the room there is");
  check(OWN(SYS_read, 0, 0, 0) == ALLOWED && OWN(SYS_execve, 0, 0, 0) == ALLOWED, "what everybody does");
  check(JUDGE(0x40000003u, 1, 0) == KILLED, "calls of i386 kill");
#ifdef __x86_64__
  check(OWN(0x40000000 | SYS_read, 0, 0, 0) == KILLED, "calls of x32 kill");
  check(OWN(SYS_modify_ldt, 0, 0, 0) == REFUSED(EPERM), "modify_ldt");
  check(OWN(335, 0, 0, 0) == ALLOWED, "uretprobe, which a probe of the operator's puts into a program");
#endif
  check(OWN(SYS_clone, SIGCHLD, 0, 0) == ALLOWED, "fork");
  static const uint64_t namespaces[] = {0x00020000, 0x02000000, 0x04000000, 0x08000000,
                                        0x10000000, 0x20000000, 0x40000000};
  for (size_t i = 0; i < sizeof namespaces / sizeof *namespaces; i++)
    check(OWN(SYS_clone, namespaces[i] | SIGCHLD, 0, 0) == REFUSED(EPERM), "clone with a new namespace");
  check(OWN(435, 0, 0, 0) == REFUSED(ENOSYS), "clone3 is said not to exist");
  check(OWN(SYS_io_setup, 0, 0, 0) == REFUSED(ENOSYS), "io_setup too");
  check(OWN(SYS_socket, AF_INET, SOCK_STREAM, 0) == ALLOWED &&
            OWN(SYS_socket, AF_UNIX, SOCK_STREAM, 0) == ALLOWED,
        "sockets");
  check(OWN(SYS_socket, AF_NETLINK, SOCK_RAW, 0) == ALLOWED, "the routing protocol");
  check(OWN(SYS_socket, AF_NETLINK, SOCK_RAW, 12) == REFUSED(EAFNOSUPPORT) &&
            OWN(SYS_socket, AF_NETLINK, SOCK_RAW, AF_INET) == REFUSED(EAFNOSUPPORT),
        "not netfilter's");
  check(OWN(SYS_socket, AF_PACKET, SOCK_RAW, 0) == REFUSED(EAFNOSUPPORT) &&
            OWN(SYS_socket, 40, SOCK_STREAM, 0) == REFUSED(EAFNOSUPPORT),
        "nor other families");
  test_internet_sockets();
  check(OWN(SYS_socketpair, AF_UNIX, SOCK_STREAM, 0) == ALLOWED &&
            OWN(SYS_socketpair, 30, SOCK_STREAM, 0) == REFUSED(EOPNOTSUPP) &&
            OWN(SYS_socketpair, 40, SOCK_STREAM, 0) == REFUSED(EOPNOTSUPP) &&
            OWN(SYS_socketpair, AF_INET, SOCK_STREAM, IPPROTO_SCTP) == REFUSED(EOPNOTSUPP),
        "pairs of no other family, which the kernel would load, TIPC for one");
  check(OWN(SYS_socket, 0xffffffff00000001ULL, SOCK_STREAM, 0) == ALLOWED,
        "what the kernel cuts off is not looked at");
  check(OWN(SYS_personality, 0xffffffff, 0, 0) == ALLOWED &&
            OWN(SYS_personality, ADDR_NO_RANDOMIZE, 0, 0) == REFUSED(EPERM),
        "personality");
  check(OWN(SYS_ioctl, 0, TIOCSTI, 0) == REFUSED(EPERM) && OWN(SYS_ioctl, 0, TIOCGWINSZ, 0) == ALLOWED,
        "ioctl");
  check(OWN(SYS_ioctl, 0, TIOCSETD, 0) == REFUSED(EPERM) && OWN(SYS_ioctl, 0, TIOCGETD, 0) == ALLOWED,
        "no discipline of a line is loaded");
  check(OWN(SYS_ioctl, 0, SIOCGIFBR, 0) == REFUSED(EPERM) &&
            OWN(SYS_ioctl, 0, SIOCSIFBR, 0) == REFUSED(EPERM) &&
            OWN(SYS_ioctl, 0, SIOCBRADDBR, 0) == REFUSED(EPERM) &&
            OWN(SYS_ioctl, 0, SIOCBRDELBR, 0) == REFUSED(EPERM) &&
            OWN(SYS_ioctl, 0, SIOCGIFVLAN, 0) == REFUSED(EPERM) &&
            OWN(SYS_ioctl, 0, SIOCSIFVLAN, 0) == REFUSED(EPERM) &&
            OWN(SYS_ioctl, 0, SIOCGIFCONF, 0) == ALLOWED,
        "nor bridges or VLANs");
  test_options_of_tcp();
  check(OWN(SYS_ioctl, 0, BTRFS_IOC_SUBVOL_CREATE, 0) == REFUSED(EPERM) &&
            OWN(SYS_ioctl, 0, BTRFS_IOC_SNAP_CREATE, 0) == REFUSED(EPERM) &&
            OWN(SYS_ioctl, 0, BTRFS_IOC_SUBVOL_CREATE_V2, 0) == REFUSED(EPERM) &&
            OWN(SYS_ioctl, 0, BTRFS_IOC_SNAP_CREATE_V2, 0) == REFUSED(EPERM) &&
            OWN(SYS_ioctl, 0, FICLONE, 0) == ALLOWED,
        "ioctl of btrfs");
  static const int refused[] = {SYS_unshare,
                                SYS_setns,
                                SYS_mount,
                                SYS_umount2,
                                SYS_pivot_root,
                                SYS_bpf,
                                SYS_keyctl,
                                SYS_add_key,
                                SYS_request_key,
                                SYS_userfaultfd,
                                SYS_kexec_load,
                                SYS_perf_event_open,
                                SYS_open_by_handle_at,
                                SYS_fanotify_init,
                                SYS_process_vm_readv,
                                SYS_process_vm_writev,
                                SYS_kcmp,
                                SYS_init_module,
                                SYS_finit_module,
                                SYS_delete_module,
                                SYS_reboot,
                                SYS_swapon,
                                SYS_acct,
                                SYS_settimeofday,
                                SYS_clock_settime,
                                SYS_sethostname,
                                SYS_quotactl,
                                SYS_syslog,
                                SYS_mbind,
                                SYS_set_mempolicy,
                                SYS_move_pages,
                                425,
                                426,
                                427,
                                428,
                                429,
                                430,
                                431,
                                432,
                                433,
                                438,
                                440,
                                442,
                                443,
                                450};
  for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
    uint32_t verdict = OWN(refused[i], 0, 0, 0);
    if ((verdict & 0xffff0000u) != 0x00050000u) printf("# call %d\n", refused[i]);
    check((verdict & 0xffff0000u) == 0x00050000u, "a call that containers have no business with");
  }
  check(OWN(470, 0, 0, 0) == REFUSED(ENOSYS) && OWN(100000, 0, 0, 0) == REFUSED(ENOSYS),
        "calls of later kernels do not exist");
}

/*
 * Init has the uid of whoever is root inside, which is all that the kernel asks of who changes another
 * process.
 */
static void test_init_is_out_of_reach(void) {
  static const int by_first[] = {SYS_prlimit64, SYS_sched_setscheduler, SYS_sched_setparam, SYS_sched_setattr,
                                 SYS_sched_setaffinity};
  for (size_t i = 0; i < sizeof by_first / sizeof *by_first; i++) {
    check(OWN(by_first[i], 1, RLIMIT_CPU, 0x1000) == REFUSED(EPERM), "init is not to be changed");
    check(OWN(by_first[i], 0xffffffff00000001ULL, RLIMIT_CPU, 0x1000) == REFUSED(EPERM),
          "nor by a number that the kernel cuts off");
    check(OWN(by_first[i], 0, RLIMIT_CPU, 0x1000) == ALLOWED &&
              OWN(by_first[i], 7, RLIMIT_CPU, 0x1000) == ALLOWED,
          "one's own processes are");
  }
  for (uint64_t which = 0; which <= 1; which++)
    check(OWN(SYS_setpriority, which, 1, 19) == REFUSED(EPERM) &&
              OWN(SYS_setpriority, which, 0, 19) == ALLOWED,
          "setpriority");
  check(OWN(SYS_setpriority, PRIO_USER, 0, 19) == REFUSED(EPERM), "setpriority of a user, who may be init's");
  for (uint64_t which = 1; which <= 2; which++)
    check(OWN(SYS_ioprio_set, which, 1, 0) == REFUSED(EPERM) && OWN(SYS_ioprio_set, which, 0, 0) == ALLOWED,
          "ioprio_set");
  check(OWN(SYS_ioprio_set, 3, 0, 0) == REFUSED(EPERM), "ioprio_set of a user");
  check(OWN(SYS_prlimit64, 0, RLIMIT_CORE, 0x1000) == ALLOWED &&
            OWN(SYS_setrlimit, RLIMIT_CORE, 0x1000, 0) == ALLOWED,
        "core files are the limit's matter");
  rules.no_core_dumps = true;
  check(OWN(SYS_prlimit64, 0, RLIMIT_CORE, 0x1000) == REFUSED(0) &&
            OWN(SYS_setrlimit, RLIMIT_CORE, 0x1000, 0) == REFUSED(0),
        "or fixed, and nobody is told");
  check(OWN(SYS_prlimit64, 0, RLIMIT_CORE, 0x100000000ULL) == REFUSED(0), "a pointer has two halves");
  /* getrlimit(3) of glibc and musl: nothing new, and where the old one goes */
  check(OWN(SYS_prlimit64, 0, RLIMIT_CORE, 0, 0x1000) == ALLOWED &&
            OWN(SYS_prlimit64, 7, RLIMIT_CORE, 0, 0x100000000ULL) == ALLOWED &&
            OWN(SYS_prlimit64, 0, RLIMIT_CORE, 0, 0) == ALLOWED,
        "reading it is allowed");
  check(OWN(SYS_prlimit64, 0, RLIMIT_CORE, 0x1000, 0x2000) == REFUSED(EPERM) &&
            OWN(SYS_prlimit64, 0, RLIMIT_CORE, 0x1000, 0x100000000ULL) == REFUSED(EPERM) &&
            OWN(SYS_prlimit64, 0, RLIMIT_CORE, 0x100000000ULL, 0x2000) == REFUSED(EPERM),
        "who sets it and asks for the old one at once would get none");
  check(OWN(SYS_prlimit64, 0, RLIMIT_NOFILE, 0x1000, 0x2000) == ALLOWED, "the other limits are free");
  check(OWN(SYS_setrlimit, RLIMIT_NOFILE, 0x1000, 0) == ALLOWED &&
            OWN(SYS_prlimit64, 1, RLIMIT_CORE, 0x1000) == REFUSED(EPERM),
        "and init is still out of reach");
  rules.no_core_dumps = false;
}

/*
 * In the host's user namespace whoever owns a file may take it out of the project that its space is counted
 * for, or let new files of a directory be in none.
 */
static void test_projects(void) {
  check(OWN(SYS_ioctl, 3, FS_IOC_FSSETXATTR, 0x1000) == ALLOWED &&
            OWN(SYS_ioctl, 3, FS_IOC_SETFLAGS, 0x1000) == ALLOWED,
        "attributes of files are free where the kernel keeps the project");
  rules.on_host_users = true;
  check(OWN(SYS_ioctl, 3, FS_IOC_FSSETXATTR, 0x1000) == REFUSED(EPERM) &&
            OWN(SYS_ioctl, 3, FS_IOC_SETFLAGS, 0x1000) == REFUSED(EPERM),
        "and not where it does not");
  check(OWN(SYS_ioctl, 3, FS_IOC_FSGETXATTR, 0x1000) == ALLOWED &&
            OWN(SYS_ioctl, 3, FS_IOC_GETFLAGS, 0x1000) == ALLOWED,
        "they may be read");
  check(OWN(469, 0, 0, 0) == REFUSED(ENOSYS), "nor by file_setattr(2) of later kernels");
  rules.on_host_users = false;
}

static void test_kernel(void) {
  if (getenv("WARDEN_TEST_EMULATED") != NULL) {
    tap_skip("the kernel takes the filter and applies it",
             "an emulator of foreign programs refuses filters of system calls");
    return;
  }
  pid_t pid = fork();
  if (pid == 0) {
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || seccomp_install(&rules) != 0) _exit(10);
    if (unshare(CLONE_NEWUSER) != -1 || errno != EPERM) _exit(11);
    if (socket(AF_PACKET, SOCK_RAW, 0) != -1 || errno != EAFNOSUPPORT) _exit(12);
    if (syscall(470) != -1 || errno != ENOSYS) _exit(13);
    if (getpid() <= 0) _exit(14);
    _exit(0);
  }
  int status = -1;
  waitpid(pid, &status, 0);
  check(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the kernel takes the filter and applies it");
}

int main(void) {
  test_maps();
  test_program();
  test_init_is_out_of_reach();
  test_projects();
  test_kernel();
  return tap_end();
}
