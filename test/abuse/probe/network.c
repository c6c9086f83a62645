/* What can be reached, and whether the network of the container can be changed from inside. */
#include "probe.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/neighbour.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PATIENCE_MS 2000

struct destination {
  char name[32];
  struct sockaddr_in address;
};

static int connects_to(int fd, const struct sockaddr *address, socklen_t length) {
  if (fd < 0) return -1;
  fcntl(fd, F_SETFL, O_NONBLOCK);
  if (connect(fd, address, length) == 0) return 0;
  if (errno != EINPROGRESS) return -1;
  struct pollfd waiting = {.fd = fd, .events = POLLOUT};
  if (poll(&waiting, 1, PATIENCE_MS) == 0) {
    errno = ETIMEDOUT;
    return -1;
  }
  int error = 0;
  socklen_t size = sizeof error;
  getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
  errno = error;
  return error == 0 ? 0 : -1;
}

static int connects(const void *argument) {
  const struct destination *to = argument;
  return connects_to(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), (const struct sockaddr *)&to->address,
                     sizeof to->address);
}

/* Whether something comes, in time. */
static int gets_answer(int fd) {
  char answer[64];
  struct pollfd waiting = {.fd = fd, .events = POLLIN};
  if (poll(&waiting, 1, PATIENCE_MS) == 0) {
    errno = ETIMEDOUT;
    return -1;
  }
  return recv(fd, answer, sizeof answer, 0) < 0 ? -1 : 0;
}

static int pings(const void *argument) {
  const struct destination *to = argument;
  static const unsigned char echo[16] = {8, 0, 0, 0, 0, 0, 0, 1};
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_ICMP);
  if (fd < 0) return -1;
  if (sendto(fd, echo, sizeof echo, 0, (const struct sockaddr *)&to->address, sizeof to->address) < 0)
    return -1;
  return gets_answer(fd);
}

/* An answer of the one who listens there, which sends every datagram back. */
static int sends_datagram(const void *argument) {
  const struct destination *to = argument;
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || connect(fd, (const struct sockaddr *)&to->address, sizeof to->address) != 0 ||
      send(fd, "hello", 5, 0) < 0)
    return -1;
  return gets_answer(fd);
}

/*
 * From an address that is not ours, which IP_FREEBIND lets anybody bind. The sender cannot know whether it
 * arrived; the suite looks outside.
 */
static int spoofs_tcp(const void *argument) {
  const struct destination *to = argument;
  struct sockaddr_in from = {.sin_family = AF_INET};
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
  inet_aton("198.51.100.77", &from.sin_addr);
  if (setsockopt(fd, IPPROTO_IP, 15 /* IP_FREEBIND */, &on, sizeof on) != 0 ||
      bind(fd, (struct sockaddr *)&from, sizeof from) != 0)
    return -1;
  return connects_to(fd, (const struct sockaddr *)&to->address, sizeof to->address);
}

static int connects6(const void *argument) {
  struct sockaddr_in6 to = {.sin6_family = AF_INET6, .sin6_port = htons(22), .sin6_scope_id = 2};
  if (inet_pton(AF_INET6, argument, &to.sin6_addr) != 1) return inconclusive("address");
  return connects_to(socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0), (struct sockaddr *)&to, sizeof to);
}

/* That a datagram leaves at all, to all nodes of the link. */
static int multicasts6(const void *argument) {
  struct sockaddr_in6 to = {.sin6_family = AF_INET6, .sin6_port = htons(5353), .sin6_scope_id = 2};
  inet_pton(AF_INET6, argument, &to.sin6_addr);
  int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  return (int)sendto(fd, "x", 1, 0, (struct sockaddr *)&to, sizeof to);
}

static int binds_low(const void *argument) {
  struct sockaddr_in own = {
      .sin_family = AF_INET, .sin_port = htons(80), .sin_addr = {htonl(INADDR_LOOPBACK)}};
  (void)argument;
  return bind(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), (struct sockaddr *)&own, sizeof own);
}

struct request {
  struct nlmsghdr head;
  union {
    struct ifinfomsg link;
    struct ifaddrmsg address;
    struct rtmsg route;
    struct ndmsg neighbour;
  } body;
  char attributes[128];
};

static void add(struct request *request, unsigned short type, const void *data, unsigned short length) {
  struct rtattr *at = (struct rtattr *)(void *)((char *)request + NLMSG_ALIGN(request->head.nlmsg_len));
  at->rta_type = type;
  at->rta_len = (unsigned short)RTA_LENGTH(length);
  memcpy(RTA_DATA(at), data, length);
  request->head.nlmsg_len = NLMSG_ALIGN(request->head.nlmsg_len) + RTA_ALIGN(at->rta_len);
}

static int asks_kernel(struct request *request) {
  struct {
    struct nlmsghdr head;
    struct nlmsgerr error;
    char rest[512];
  } answer;
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  if (fd < 0) return -1;
  request->head.nlmsg_flags |= NLM_F_REQUEST | NLM_F_ACK;
  if (send(fd, request, request->head.nlmsg_len, 0) < 0 || recv(fd, &answer, sizeof answer, 0) < 0) return -1;
  errno = -answer.error.error;
  return answer.error.error == 0 ? 0 : -1;
}

static int adds_address(const void *argument) {
  struct in_addr address;
  inet_aton("198.51.100.78", &address);
  struct request request = {.head = {.nlmsg_len = NLMSG_LENGTH(sizeof request.body.address),
                                     .nlmsg_type = (unsigned short)(uintptr_t)argument,
                                     .nlmsg_flags = NLM_F_CREATE},
                            .body.address = {.ifa_family = AF_INET, .ifa_prefixlen = 32, .ifa_index = 1}};
  add(&request, IFA_LOCAL, &address, sizeof address);
  return asks_kernel(&request);
}

static int adds_route(const void *argument) {
  struct in_addr address;
  int index = 1;
  (void)argument;
  inet_aton("192.0.2.0", &address);
  struct request request = {.head = {.nlmsg_len = NLMSG_LENGTH(sizeof request.body.route),
                                     .nlmsg_type = RTM_NEWROUTE,
                                     .nlmsg_flags = NLM_F_CREATE},
                            .body.route = {.rtm_family = AF_INET,
                                           .rtm_dst_len = 24,
                                           .rtm_table = RT_TABLE_MAIN,
                                           .rtm_protocol = RTPROT_STATIC,
                                           .rtm_scope = RT_SCOPE_LINK,
                                           .rtm_type = RTN_UNICAST}};
  add(&request, RTA_DST, &address, sizeof address);
  add(&request, RTA_OIF, &index, sizeof index);
  return asks_kernel(&request);
}

static int adds_neighbour(const void *argument) {
  struct in_addr address;
  static const unsigned char hardware[6] = {2, 0, 0, 0, 0, 1};
  (void)argument;
  inet_aton("192.0.2.1", &address);
  struct request request = {
      .head = {.nlmsg_len = NLMSG_LENGTH(sizeof request.body.neighbour),
               .nlmsg_type = RTM_NEWNEIGH,
               .nlmsg_flags = NLM_F_CREATE},
      .body.neighbour = {.ndm_family = AF_INET, .ndm_ifindex = 2, .ndm_state = NUD_PERMANENT}};
  add(&request, NDA_DST, &address, sizeof address);
  add(&request, NDA_LLADDR, hardware, sizeof hardware);
  return asks_kernel(&request);
}

/* A new interface; also how a module would be loaded by its name. */
static int adds_link(const void *argument) {
  struct request request = {.head = {.nlmsg_len = NLMSG_LENGTH(sizeof request.body.link),
                                     .nlmsg_type = RTM_NEWLINK,
                                     .nlmsg_flags = NLM_F_CREATE | NLM_F_EXCL},
                            .body.link = {.ifi_family = AF_UNSPEC}};
  struct {
    struct rtattr head;
    char name[16];
  } kind = {.head = {.rta_type = 1 /* IFLA_INFO_KIND */}};
  snprintf(kind.name, sizeof kind.name, "%s", (const char *)argument);
  kind.head.rta_len = (unsigned short)RTA_LENGTH(strlen(kind.name));
  add(&request, IFLA_IFNAME, "probe0", 7);
  add(&request, 18 /* IFLA_LINKINFO */, &kind, sizeof kind);
  return asks_kernel(&request);
}

static int changes_link(const void *argument) {
  struct request request = {
      .head = {.nlmsg_len = NLMSG_LENGTH(sizeof request.body.link), .nlmsg_type = RTM_NEWLINK},
      .body.link = {.ifi_family = AF_UNSPEC,
                    .ifi_index = (int)(intptr_t)argument,
                    .ifi_flags = IFF_PROMISC,
                    .ifi_change = IFF_PROMISC}};
  return asks_kernel(&request);
}

static void try_given(void) {
  char *list = strdup(given.reach), *rest = NULL;
  for (char *one = strtok_r(list, ",", &rest); one != NULL; one = strtok_r(NULL, ",", &rest)) {
    struct destination to = {.address = {.sin_family = AF_INET}};
    char address[32];
    unsigned port;
    if (sscanf(one, "%31[^=]=%31[^:]:%u", to.name, address, &port) != 3 ||
        inet_aton(address, &to.address.sin_addr) == 0) {
      fprintf(stderr, "not NAME=ADDRESS:PORT: %s\n", one);
      exit(2);
    }
    to.address.sin_port = htons((uint16_t)port);
    /*
     * it must outlive this turn: the cases run beside each other, each in a copy of this memory made when it
     * starts
     */
    attempt_beside(connects, &to, "reach/%s-tcp", to.name);
    attempt_beside(sends_datagram, &to, "reach/%s-udp", to.name);
    attempt_beside(pings, &to, "reach/%s-icmp", to.name);
    attempt_beside(spoofs_tcp, &to, "reach/%s-spoofed-tcp", to.name);
  }
  free(list);
}

void try_network(void) {
  static const char *const links[] = {"dummy", "bridge", "vlan",  "macvlan",   "ipvlan", "veth",
                                      "tun",   "gre",    "vxlan", "wireguard", "nlmon",  "bond"};
  attempt(adds_address, (void *)RTM_NEWADDR, "link/add-address");
  attempt(adds_address, (void *)RTM_DELADDR, "link/delete-address");
  attempt(adds_route, NULL, "link/add-route");
  attempt(adds_neighbour, NULL, "link/add-neighbour");
  for (size_t i = 0; i < sizeof links / sizeof *links; i++)
    attempt(adds_link, links[i], "link/add-%s", links[i]);
  attempt(changes_link, (void *)1, "link/promiscuous-lo");
  attempt(changes_link, (void *)2, "link/promiscuous-2");
  attempt(binds_low, NULL, "net/bind-low-port");
  attempt_beside(connects6, "::1", "net/ipv6-loopback-22");
  attempt_beside(connects6, "fe80::1", "net/ipv6-link-local");
  attempt_beside(connects6, "fd00:ec2::254", "net/ipv6-metadata");
  attempt_beside(connects6, "::ffff:169.254.169.254", "net/ipv6-mapped-metadata");
  attempt_beside(multicasts6, "ff02::1", "net/ipv6-all-nodes");
  attempt_beside(multicasts6, "ff02::2", "net/ipv6-all-routers");
  static const struct {
    const char *name, *address;
    uint16_t port;
  } places[] = {{"metadata", "169.254.169.254", 80}, {"metadata-alibaba", "100.100.100.200", 80},
                {"link-local", "169.254.1.1", 80},   {"any", "0.0.0.0", 22},
                {"loopback", "127.0.0.1", 22},       {"broadcast", "255.255.255.255", 80},
                {"multicast", "224.0.0.1", 80},      {"private-10", "10.0.0.1", 22},
                {"private-192", "192.168.0.1", 22}};
  for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
    struct destination to = {.address = {.sin_family = AF_INET, .sin_port = htons(places[i].port)}};
    inet_aton(places[i].address, &to.address.sin_addr);
    attempt_beside(connects, &to, "net/connect-%s", places[i].name);
  }
  try_given();
  attempts_settle();
}
