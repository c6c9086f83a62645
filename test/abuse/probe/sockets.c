/* Which sockets can be had at all, and sockets of others that need no network. */
#include "probe.h"

#include <dirent.h>
#include <linux/bpf.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

struct kind {
  const char *name;
  int family, type, protocol;
};

static int makes(const void *argument) {
  const struct kind *kind = argument;
  return socket(kind->family, kind->type | SOCK_CLOEXEC, kind->protocol);
}

/* The number of the family in 64 bits: the kernel takes the low half, and so must the filter. */
static int makes_with_high_bits(const void *argument) {
  return (int)raw_call(SYS_socket, (long)((uintptr_t)argument | 1ul << 32), SOCK_RAW, 0, 0, 0, 0);
}

static int any_family(const void *argument) {
  static const int usual[] = {AF_UNIX, AF_INET, AF_INET6, AF_NETLINK};
  int error = EAFNOSUPPORT;
  (void)argument;
  for (int family = 0; family < 64; family++) {
    bool known = false;
    for (size_t i = 0; i < sizeof usual / sizeof *usual; i++) known = known || usual[i] == family;
    for (int type = 1; type <= 5 && !known; type++) {
      int fd = socket(family, type, 0);
      if (fd >= 0) {
        saw("family-%d-type-%d", family, type);
        return 0;
      }
      error = errno;
    }
  }
  errno = error;
  return -1;
}

static int pairs(const void *argument) {
  int ends[2];
  return socketpair((int)(intptr_t)argument, SOCK_STREAM, 0, ends);
}

static int connects_abstract(const void *argument) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (given.abstract[0] == '\0') return inconclusive("no-socket-given");
  int fd = socket(AF_UNIX, (int)(intptr_t)argument, 0);
  size_t length = strlen(given.abstract);
  memcpy(address.sun_path + 1, given.abstract, length);
  return connect(fd, (struct sockaddr *)&address,
                 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + length));
}

/* Sockets by path: one in the root file system that a process of the host or of init listens on. */
static int connects_below(const char *directory, int depth) {
  DIR *entries = opendir(directory);
  struct dirent *entry;
  if (entries == NULL) return -1;
  while ((entry = readdir(entries)) != NULL) {
    char path[512];
    struct stat facts;
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    if (snprintf(path, sizeof path, "%s/%s", directory, entry->d_name) >= (int)sizeof path ||
        lstat(path, &facts) != 0)
      continue;
    if (S_ISDIR(facts.st_mode) && depth > 0 && strcmp(path, "//proc") != 0 && strcmp(path, "//sys") != 0 &&
        connects_below(path, depth - 1) == 0)
      return 0;
    if (!S_ISSOCK(facts.st_mode)) continue;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%.107s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0) {
      saw("%s", path);
      return 0;
    }
    close(fd);
  }
  closedir(entries);
  return -1;
}

static int connects_any_path(const void *argument) {
  (void)argument;
  int result = connects_below("/", 10);
  if (result != 0) errno = ENOENT;
  return result;
}

/*
 * The sockets of init by their names in /proc/net/unix: those are paths of the host, which lead nowhere
 * inside.
 */
static int lists_foreign(const void *argument) {
  static char text[1 << 16];
  (void)argument;
  if (read_start("/proc/net/unix", text, sizeof text) <= 0) return -1;
  errno = ENOENT;
  const char *at = strstr(text, " /");
  if (at == NULL) at = strstr(text, " @");
  if (at != NULL) saw("%.60s", at + 1);
  return at != NULL ? 0 : -1;
}

static int attaches_filter(const void *argument) {
  struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, 0xffff);
  struct sock_fprog program = {.len = 1, .filter = &allow};
  (void)argument;
  return setsockopt(socket(AF_INET, SOCK_DGRAM, 0), SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program);
}

static int attaches_bpf(const void *argument) {
  int program = 0;
  (void)argument;
  return setsockopt(socket(AF_INET, SOCK_DGRAM, 0), SOL_SOCKET, SO_ATTACH_BPF, &program, sizeof program);
}

struct option {
  const char *name;
  int level, option, value;
};

static int sets_option(const void *argument) {
  const struct option *option = argument;
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  return setsockopt(fd, option->level, option->option, &option->value, sizeof option->value);
}

static int replaces_tables(const void *argument) {
  char nothing[512] = {0};
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  return setsockopt(fd, IPPROTO_IP, (int)(intptr_t)argument, nothing, sizeof nothing);
}

static int changes_interface(const void *argument) {
  struct ifreq request = {.ifr_name = "lo"};
  int fd = socket(AF_INET, SOCK_DGRAM, 0);
  request.ifr_mtu = 1400;
  return ioctl(fd, (unsigned long)(uintptr_t)argument, &request);
}

/* Reads the table of processes that a netlink subsystem would tell. */
static int dumps_sockets(const void *argument) {
  struct {
    struct nlmsghdr head;
    char body[64];
  } request = {.head = {.nlmsg_len = sizeof request,
                        .nlmsg_type = 20 /* SOCK_DIAG_BY_FAMILY */,
                        .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP}};
  (void)argument;
  request.body[0] = AF_UNIX;
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 4);
  if (fd < 0) return -1;
  return send(fd, &request, sizeof request, 0) < 0 ? -1 : 0;
}

/* A request of a part of the kernel that may be a module: it is loaded before it looks who asks. */
static int asks_interfaces(const void *argument) {
  unsigned long words[3] = {0};
  return ioctl(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), (unsigned long)(uintptr_t)argument, words);
}

void try_sockets(void) {
  static const struct kind kinds[] = {
      {"packet-raw", AF_PACKET, SOCK_RAW, 0x0300},
      {"packet-dgram", AF_PACKET, SOCK_DGRAM, 0x0300},
      {"vsock", 40, SOCK_STREAM, 0},
      {"alg", 38, SOCK_SEQPACKET, 0},
      {"key", 15, SOCK_RAW, 2},
      {"xdp", 44, SOCK_RAW, 0},
      {"tipc", 30, SOCK_RDM, 0},
      {"rds", 21, SOCK_SEQPACKET, 0},
      {"bluetooth", 31, SOCK_RAW, 1},
      {"can", 29, SOCK_RAW, 1},
      {"smc", 43, SOCK_STREAM, 0},
      {"netrom", 6, SOCK_SEQPACKET, 0},
      {"ax25", 3, SOCK_DGRAM, 0},
      {"x25", 9, SOCK_SEQPACKET, 0},
      {"rose", 11, SOCK_SEQPACKET, 0},
      {"appletalk", 5, SOCK_DGRAM, 0},
      {"ipx", 4, SOCK_DGRAM, 0},
      {"llc", 26, SOCK_DGRAM, 0},
      {"phonet", 35, SOCK_DGRAM, 0},
      {"caif", 37, SOCK_SEQPACKET, 0},
      {"kcm", 41, SOCK_DGRAM, 0},
      {"qipcrtr", 42, SOCK_DGRAM, 0},
      {"mctp", 45, SOCK_DGRAM, 0},
      {"ieee802154", 36, SOCK_RAW, 0},
      {"inet-raw-icmp", AF_INET, SOCK_RAW, 1},
      {"inet-raw-tcp", AF_INET, SOCK_RAW, 6},
      {"inet-raw-raw", AF_INET, SOCK_RAW, 255},
      {"inet6-raw-icmp", AF_INET6, SOCK_RAW, 58},
      {"inet-sctp", AF_INET, SOCK_STREAM, 132},
      {"inet-mptcp", AF_INET, SOCK_STREAM, 262},
      {"inet-udplite", AF_INET, SOCK_DGRAM, 136},
      {"inet-dccp", AF_INET, 6, 33},
      {"inet-l2tp", AF_INET, SOCK_DGRAM, 115},
      {"inet-ping", AF_INET, SOCK_DGRAM, 1},
      {"inet-tcp", AF_INET, SOCK_STREAM, 0},
      {"inet-udp", AF_INET, SOCK_DGRAM, 0},
      {"inet6-tcp", AF_INET6, SOCK_STREAM, 0},
      {"unix", AF_UNIX, SOCK_STREAM, 0},
      {"obsolete-packet", AF_INET, 10, 0x0300},
  };
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
    attempt(makes, &kinds[i], "socket/%s", kinds[i].name);
  for (int protocol = 0; protocol <= 22; protocol++) {
    struct kind netlink = {"", AF_NETLINK, SOCK_RAW, protocol};
    attempt(makes, &netlink, "socket/netlink-%d", protocol);
  }
  attempt(any_family, NULL, "socket/any-other-family");
  attempt(makes_with_high_bits, (void *)(uintptr_t)AF_PACKET, "socket/packet-high-bits");
  attempt(makes_with_high_bits, (void *)(uintptr_t)38, "socket/alg-high-bits");
  attempt(makes_with_high_bits, (void *)(uintptr_t)40, "socket/vsock-high-bits");
  attempt(pairs, (void *)(intptr_t)40, "socket/pair-vsock");
  attempt(pairs, (void *)(intptr_t)30, "socket/pair-tipc");
  attempt(asks_interfaces, (void *)SIOCGIFBR, "socket/bridges");
  attempt(asks_interfaces, (void *)SIOCGIFVLAN, "socket/vlans");
  attempt(connects_abstract, (void *)SOCK_STREAM, "unix/abstract-of-host");
  attempt(connects_any_path, NULL, "unix/any-path");
  attempt(lists_foreign, NULL, "unix/foreign-names");
  attempt(dumps_sockets, NULL, "netlink/sock-diag");
  attempt(attaches_filter, NULL, "option/attach-filter");
  attempt(attaches_bpf, NULL, "option/attach-bpf");
  static const struct option options[] = {
      {"mark", SOL_SOCKET, SO_MARK, 1},
      {"priority-7", SOL_SOCKET, SO_PRIORITY, 7},
      {"debug", SOL_SOCKET, SO_DEBUG, 1},
      {"rcvbufforce", SOL_SOCKET, SO_RCVBUFFORCE, 1 << 28},
      {"sndbufforce", SOL_SOCKET, SO_SNDBUFFORCE, 1 << 28},
      {"transparent", IPPROTO_IP, IP_TRANSPARENT, 1},
      {"busy-poll", SOL_SOCKET, 46, 100000},
  };
  for (size_t i = 0; i < sizeof options / sizeof *options; i++)
    attempt(sets_option, &options[i], "option/%s", options[i].name);
  attempt(replaces_tables, (void *)64, "option/iptables-replace");
  attempt(replaces_tables, (void *)96, "option/arptables-replace");
  attempt(changes_interface, (void *)SIOCSIFMTU, "interface/mtu");
  attempt(changes_interface, (void *)SIOCSIFADDR, "interface/address");
  attempt(changes_interface, (void *)SIOCSIFHWADDR, "interface/hardware-address");
  attempt(changes_interface, (void *)SIOCSIFFLAGS, "interface/flags");
  attempt(changes_interface, (void *)SIOCSIFNAME, "interface/name");
  attempt(changes_interface, (void *)SIOCSARP, "interface/arp-entry");
  attempt(changes_interface, (void *)SIOCADDRT, "interface/route");
  attempt(changes_interface, (void *)0x89a0 /* SIOCBRADDBR */, "interface/bridge");
  attempt(changes_interface, (void *)0x8946 /* SIOCETHTOOL */, "interface/ethtool");
}
