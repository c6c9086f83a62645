#include "inside.h"

#include "format.h"
#include "report.h"
#include "setting.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_addr.h>
#include <linux/neighbour.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define ERRNO_MAX 4095 /* of the kernel */

struct request {
  struct nlmsghdr header;
  unsigned char body[256];
};

static void begin(struct request *request, uint16_t type, uint16_t flags, const void *body, size_t length) {
  memset(request, 0, sizeof *request);
  request->header.nlmsg_type = type;
  request->header.nlmsg_flags = (uint16_t)(NLM_F_REQUEST | NLM_F_ACK | flags);
  request->header.nlmsg_len = (uint32_t)NLMSG_LENGTH(length);
  memcpy(request->body, body, length);
}

static void attribute(struct request *request, uint16_t type, const void *value, size_t length) {
  struct rtattr head = {.rta_type = type, .rta_len = (uint16_t)RTA_LENGTH(length)};
  unsigned char *at = (unsigned char *)request + NLMSG_ALIGN(request->header.nlmsg_len);
  memcpy(at, &head, sizeof head);
  memcpy(at + RTA_LENGTH(0), value, length);
  request->header.nlmsg_len = NLMSG_ALIGN(request->header.nlmsg_len) + (uint32_t)RTA_ALIGN(head.rta_len);
}

/* Sends one request and waits for its acknowledgement; -1 with the kernel's errno. */
static int exchange(int fd, struct request *request) {
  unsigned char answer[4096];
  if (send(fd, request, request->header.nlmsg_len, 0) < 0) return -1;
  for (;;) {
    ssize_t got = recv(fd, answer, sizeof answer, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return -1;
    struct nlmsghdr header;
    if ((size_t)got < sizeof header) continue;
    memcpy(&header, answer, sizeof header);
    if (header.nlmsg_type != NLMSG_ERROR || (size_t)got < NLMSG_LENGTH(sizeof(int))) continue;
    int result;
    memcpy(&result, answer + NLMSG_LENGTH(0), sizeof result);
    if (result == 0) return 0;
    errno = result < 0 && result >= -ERRNO_MAX ? -result : EPROTO;
    return -1;
  }
}

static int link_up(int fd, unsigned index, unsigned mtu) {
  struct request request;
  struct ifinfomsg link = {
      .ifi_family = AF_UNSPEC, .ifi_index = (int)index, .ifi_flags = IFF_UP, .ifi_change = IFF_UP};
  begin(&request, RTM_NEWLINK, 0, &link, sizeof link);
  if (mtu != 0) attribute(&request, IFLA_MTU, &mtu, sizeof mtu);
  return exchange(fd, &request);
}

static int add_address(int fd, unsigned index, const struct plan *plan) {
  struct request request;
  struct ifaddrmsg address = {
      .ifa_family = AF_INET, .ifa_prefixlen = (uint8_t)plan->prefix_length, .ifa_index = index};
  begin(&request, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, &address, sizeof address);
  attribute(&request, IFA_LOCAL, &plan->address, sizeof plan->address);
  attribute(&request, IFA_ADDRESS, &plan->address, sizeof plan->address);
  return exchange(fd, &request);
}

static int add_neighbour(int fd, unsigned index, const struct plan *plan) {
  struct request request;
  struct ndmsg neighbour = {.ndm_family = AF_INET, .ndm_ifindex = (int)index, .ndm_state = NUD_PERMANENT};
  begin(&request, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, &neighbour, sizeof neighbour);
  attribute(&request, NDA_DST, &plan->gateway, sizeof plan->gateway);
  attribute(&request, NDA_LLADDR, plan->gateway_mac, sizeof plan->gateway_mac);
  return exchange(fd, &request);
}

static int add_default_route(int fd, unsigned index, const struct plan *plan) {
  struct request request;
  struct rtmsg route = {.rtm_family = AF_INET,
                        .rtm_table = RT_TABLE_MAIN,
                        .rtm_protocol = RTPROT_STATIC,
                        .rtm_scope = RT_SCOPE_UNIVERSE,
                        .rtm_type = RTN_UNICAST};
  begin(&request, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, &route, sizeof route);
  attribute(&request, RTA_GATEWAY, &plan->gateway, sizeof plan->gateway);
  attribute(&request, RTA_OIF, &index, sizeof index);
  return exchange(fd, &request);
}

/* 0 if there is none of that name. */
static unsigned index_of(const char *interface) {
  struct ifreq query = {0};
  size_t length = strlen(interface);
  if (length >= sizeof query.ifr_name) {
    errno = ENODEV;
    return 0;
  }
  memcpy(query.ifr_name, interface, length);
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return 0;
  int result = ioctl(fd, SIOCGIFINDEX, &query), saved = errno;
  close(fd);
  errno = saved;
  return result == 0 ? (unsigned)query.ifr_ifindex : 0;
}

static int set(int settings, const char *path, const char *value) {
  return setting_write_own(settings, path, value) == 0 ? 0 : report_errno("network", path);
}

/*
 * The network namespace belongs to the host, so nobody inside has CAP_NET_BIND_SERVICE or CAP_NET_RAW over
 * it. What programs take for granted is allowed by settings of the namespace instead: low ports, and ping(8)
 * by datagram sockets. /proc shows the writer's own.
 */
static int open_to_users(int settings) {
  if (set(settings, "/proc/sys/net/ipv4/ip_unprivileged_port_start", "0") != 0) return -1;
  return set(settings, "/proc/sys/net/ipv4/ping_group_range", "0 2147483647");
}

/*
 * The host refuses IPv6 of containers anyway. Without an address of the link a job does not even get one
 * packet out, and its programs see at once that there is no such network instead of waiting for it. Loopback
 * keeps ::1.
 */
static int without_ipv6(int settings, const char *interface) {
  char path[96];
  format(path, sizeof path, "/proc/sys/net/ipv6/conf/%s/disable_ipv6", interface);
  /* a kernel without IPv6 has no such file */
  return setting_write_own(settings, path, "1") == 0 || errno == ENOENT ? 0 : report_errno("network", path);
}

int inside_network(const struct plan *plan, int settings) {
  if (plan->ids.count > 0 && open_to_users(settings) != 0) return -1;
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  if (fd < 0) return report_errno("network", "rtnetlink");
  int result = link_up(fd, 1, 0) == 0 ? 0 : report_errno("network", "lo");
  if (result == 0 && plan->interface != NULL) {
    unsigned index = index_of(plan->interface);
    if (index != 0 && without_ipv6(settings, plan->interface) != 0) result = -1;
    else if (index == 0 || (plan->address != 0 && add_address(fd, index, plan) != 0) ||
             link_up(fd, index, plan->mtu) != 0 ||
             (plan->has_gateway_mac && plan->gateway != 0 && add_neighbour(fd, index, plan) != 0) ||
             (plan->gateway != 0 && add_default_route(fd, index, plan) != 0))
      result = report_errno("network", plan->interface);
  }
  close(fd);
  return result;
}
