#include "network.h"

#include "netlink.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if.h>
#include <linux/if_link.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if_arp.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

unsigned int if_nametoindex(const char *name);

#define NFT_TYPE(message) ((uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | (message)))
#define INTERFACES "interfaces"
#define VERDICTS "containers"
#define DEFAULT_CHAIN "default"

static int route_socket = -1, filter_socket = -1;

struct names {
  char host[16], container[16], chain[32];
  unsigned char host_mac[6], container_mac[6];
  uint32_t host_address, container_address; /* network order */
};

/* From 10.128.0.0 on, a /30 each. */
static struct names names_of(uint32_t number) {
  struct names names;
  uint32_t base = 0x0a800000u + 4 * number;
  snprintf(names.host, sizeof names.host, "wf-%x-0", number);
  snprintf(names.container, sizeof names.container, "wf-%x-1", number);
  snprintf(names.chain, sizeof names.chain, "i-%x", number);
  unsigned char mac[6] = {
      0x02, 0x57, (unsigned char)(number >> 16), (unsigned char)(number >> 8), (unsigned char)number, 0};
  memcpy(names.host_mac, mac, 6);
  memcpy(names.container_mac, mac, 6);
  names.container_mac[5] = 1;
  names.host_address = htonl(base + 1);
  names.container_address = htonl(base + 2);
  return names;
}

static int open_sockets(void) {
  if (route_socket < 0) route_socket = netlink_open(NETLINK_ROUTE);
  if (filter_socket < 0) filter_socket = netlink_open(NETLINK_NETFILTER);
  return route_socket < 0 || filter_socket < 0 ? -errno : 0;
}

static void batch_edge(struct request *request, uint16_t type) {
  struct nfgenmsg head = {.nfgen_family = AF_UNSPEC, .res_id = htons(NFNL_SUBSYS_NFTABLES)};
  request_begin(request, type, 0, &head, sizeof head);
}

static void change(struct request *request, uint16_t message, uint16_t flags, const char *table) {
  struct nfgenmsg head = {.nfgen_family = NFPROTO_INET};
  request_begin(request, NFT_TYPE(message), flags, &head, sizeof head);
  put_text(request, 1, table); /* NFTA_*_TABLE is 1 everywhere */
}

/* Expression list entries. */
static size_t expression_begin(struct request *request, const char *name, size_t *data) {
  size_t at = nest_begin(request, NFTA_LIST_ELEM);
  put_text(request, NFTA_EXPR_NAME, name);
  *data = nest_begin(request, NFTA_EXPR_DATA);
  return at;
}

static void expression_end(struct request *request, size_t at, size_t data) {
  nest_end(request, data);
  nest_end(request, at);
}

static void put_verdict(struct request *request, uint16_t type, int32_t code, const char *chain) {
  size_t data = nest_begin(request, type), verdict = nest_begin(request, NFTA_DATA_VERDICT);
  put_be32(request, NFTA_VERDICT_CODE, (uint32_t)code);
  if (chain != NULL) put_text(request, NFTA_VERDICT_CHAIN, chain);
  nest_end(request, verdict);
  nest_end(request, data);
}

static void add_verdict(struct request *request, int32_t code, const char *chain) {
  size_t data, at = expression_begin(request, "immediate", &data);
  put_be32(request, NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
  put_verdict(request, NFTA_IMMEDIATE_DATA, code, chain);
  expression_end(request, at, data);
}

static void add_lookup(struct request *request, const char *map) {
  size_t data, at = expression_begin(request, "meta", &data);
  put_be32(request, NFTA_META_DREG, NFT_REG_1);
  put_be32(request, NFTA_META_KEY, NFT_META_IIFNAME);
  expression_end(request, at, data);
  at = expression_begin(request, "lookup", &data);
  put_text(request, NFTA_LOOKUP_SET, map);
  put_be32(request, NFTA_LOOKUP_SREG, NFT_REG_1);
  put_be32(request, NFTA_LOOKUP_DREG, NFT_REG_VERDICT);
  expression_end(request, at, data);
}

static void rule_begin(struct request *request, const char *table, const char *chain, size_t *list) {
  change(request, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND, table);
  put_text(request, NFTA_RULE_CHAIN, chain);
  *list = nest_begin(request, NFTA_RULE_EXPRESSIONS);
}

static void add_chain(struct request *request, const char *table, const char *chain) {
  change(request, NFT_MSG_NEWCHAIN, NLM_F_CREATE, table);
  put_text(request, NFTA_CHAIN_NAME, chain);
}

static void add_set(struct request *request, const char *table, const char *name, uint32_t id) {
  bool is_map = id == 2;
  change(request, NFT_MSG_NEWSET, NLM_F_CREATE, table);
  put_text(request, NFTA_SET_NAME, name);
  put_be32(request, NFTA_SET_FLAGS, is_map ? NFT_SET_MAP : 0);
  put_be32(request, NFTA_SET_KEY_TYPE, 41);
  put_be32(request, NFTA_SET_KEY_LEN, IFNAMSIZ);
  if (is_map) {
    put_be32(request, NFTA_SET_DATA_TYPE, NFT_DATA_VERDICT);
    put_be32(request, NFTA_SET_DATA_LEN, 0);
  }
  put_be32(request, NFTA_SET_ID, id);
}

/* An element of a set, or with a chain of the verdict map. */
static void put_element(struct request *request, uint16_t message, uint16_t flags, const char *table,
                        const char *set, const char *name, const char *chain) {
  char key[IFNAMSIZ] = {0};
  memcpy(key, name, strlen(name));
  change(request, message, flags, table);
  put_text(request, NFTA_SET_ELEM_LIST_SET, set);
  size_t list = nest_begin(request, NFTA_SET_ELEM_LIST_ELEMENTS),
         element = nest_begin(request, NFTA_LIST_ELEM);
  size_t value = nest_begin(request, NFTA_SET_ELEM_KEY);
  put_bytes(request, NFTA_DATA_VALUE, key, sizeof key);
  nest_end(request, value);
  if (chain != NULL) put_verdict(request, NFTA_SET_ELEM_DATA, NFT_GOTO, chain);
  nest_end(request, element);
  nest_end(request, list);
}

static void add_base_chain(struct request *request, const char *table, const char *chain, uint32_t hook) {
  add_chain(request, table, chain);
  size_t at = nest_begin(request, NFTA_CHAIN_HOOK);
  put_be32(request, NFTA_HOOK_HOOKNUM, hook);
  put_be32(request, NFTA_HOOK_PRIORITY, 0);
  nest_end(request, at);
  put_text(request, NFTA_CHAIN_TYPE, "filter");
}

static int commit(struct request *request) {
  batch_edge(request, NFNL_MSG_BATCH_END);
  return request_send(filter_socket, request);
}

int network_own_sockets(void) {
  close(route_socket);
  close(filter_socket);
  route_socket = filter_socket = -1;
  return open_sockets();
}

int network_setup(const char *table) {
  static struct request request;
  size_t list;
  int result = open_sockets();
  if (result != 0) return result;
  request.length = 0;
  batch_edge(&request, NFNL_MSG_BATCH_BEGIN);
  change(&request, NFT_MSG_NEWTABLE, NLM_F_CREATE, table);
  add_set(&request, table, INTERFACES, 1);
  add_set(&request, table, VERDICTS, 2);
  add_chain(&request, table, DEFAULT_CHAIN);
  rule_begin(&request, table, DEFAULT_CHAIN, &list);
  add_verdict(&request, NF_DROP, NULL);
  nest_end(&request, list);
  static const struct {
    const char *name;
    uint32_t hook;
  } chains[] = {{"input", NF_INET_LOCAL_IN}, {"forward", NF_INET_FORWARD}};
  for (size_t i = 0; i < sizeof chains / sizeof *chains; i++) {
    add_base_chain(&request, table, chains[i].name, chains[i].hook);
    rule_begin(&request, table, chains[i].name, &list);
    add_lookup(&request, VERDICTS);
    nest_end(&request, list);
  }
  change(&request, NFT_MSG_NEWCHAIN, NLM_F_ACK, table);
  put_text(&request, NFTA_CHAIN_NAME, DEFAULT_CHAIN);
  return commit(&request);
}

int network_remove_table(const char *table) {
  static struct request request;
  int result = open_sockets();
  if (result != 0) return result;
  request.length = 0;
  batch_edge(&request, NFNL_MSG_BATCH_BEGIN);
  change(&request, NFT_MSG_DELTABLE, NLM_F_ACK, table);
  return commit(&request);
}

static int add_rules(const char *table, const struct names *names) {
  static struct request request;
  size_t list;
  request.length = 0;
  batch_edge(&request, NFNL_MSG_BATCH_BEGIN);
  add_chain(&request, table, names->chain);
  rule_begin(&request, table, names->chain, &list);
  add_verdict(&request, NFT_GOTO, DEFAULT_CHAIN);
  nest_end(&request, list);
  put_element(&request, NFT_MSG_NEWSETELEM, NLM_F_CREATE, table, INTERFACES, names->host, NULL);
  put_element(&request, NFT_MSG_NEWSETELEM, NLM_F_CREATE | NLM_F_ACK, table, VERDICTS, names->host,
              names->chain);
  return commit(&request);
}

static int remove_rules(const char *table, const struct names *names) {
  static struct request request;
  request.length = 0;
  batch_edge(&request, NFNL_MSG_BATCH_BEGIN);
  put_element(&request, NFT_MSG_DELSETELEM, 0, table, VERDICTS, names->host, NULL);
  put_element(&request, NFT_MSG_DELSETELEM, 0, table, INTERFACES, names->host, NULL);
  change(&request, NFT_MSG_DELRULE, 0, table);
  put_text(&request, NFTA_RULE_CHAIN, names->chain);
  change(&request, NFT_MSG_DELCHAIN, NLM_F_ACK, table);
  put_text(&request, NFTA_CHAIN_NAME, names->chain);
  return commit(&request);
}

static void put_end(struct request *request, const char *name, const unsigned char *mac) {
  put_text(request, IFLA_IFNAME, name);
  put_u32(request, IFLA_MTU, 1500);
  put_bytes(request, IFLA_ADDRESS, mac, 6);
}

static int add_link(const struct names *names, pid_t pid) {
  static struct request request;
  request.length = 0;
  struct ifinfomsg near = {.ifi_flags = IFF_UP | IFF_NOARP, .ifi_change = IFF_UP | IFF_NOARP}, far = {0};
  request_begin(&request, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK, &near, sizeof near);
  put_end(&request, names->host, names->host_mac);
  size_t info = nest_begin(&request, IFLA_LINKINFO);
  put_text(&request, IFLA_INFO_KIND, "veth");
  size_t data = nest_begin(&request, IFLA_INFO_DATA), peer = nest_begin(&request, VETH_INFO_PEER);
  memcpy(request.bytes + request.length, &far, sizeof far);
  request.length += sizeof far;
  put_end(&request, names->container, names->container_mac);
  put_u32(&request, IFLA_NET_NS_PID, (uint32_t)pid);
  nest_end(&request, peer);
  nest_end(&request, data);
  nest_end(&request, info);
  return request_send(route_socket, &request);
}

static void put_address(struct request *request, unsigned index, uint32_t address, unsigned char prefix) {
  struct ifaddrmsg head = {.ifa_family = AF_INET, .ifa_prefixlen = prefix, .ifa_index = index};
  request_begin(request, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE | NLM_F_ACK, &head, sizeof head);
  put_bytes(request, IFA_LOCAL, &address, 4);
  put_bytes(request, IFA_ADDRESS, &address, 4);
}

static void put_neighbour(struct request *request, unsigned index, uint32_t address,
                          const unsigned char *mac) {
  struct ndmsg head = {.ndm_family = AF_INET, .ndm_ifindex = (int)index, .ndm_state = NUD_PERMANENT};
  request_begin(request, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE | NLM_F_ACK, &head, sizeof head);
  put_bytes(request, NDA_DST, &address, 4);
  put_bytes(request, NDA_LLADDR, mac, 6);
}

int network_attach(const char *table, uint32_t number, pid_t pid) {
  static struct request request;
  struct names names = names_of(number);
  int result = open_sockets();
  if (result == 0) result = add_rules(table, &names);
  if (result == 0) result = add_link(&names, pid);
  if (result != 0) return result;
  unsigned index = if_nametoindex(names.host);
  request.length = 0;
  put_address(&request, index, names.host_address, 30);
  put_neighbour(&request, index, names.container_address, names.container_mac);
  return request_send(route_socket, &request);
}

int network_detach(const char *table, uint32_t number) {
  struct names names = names_of(number);
  int result = open_sockets();
  return result == 0 ? remove_rules(table, &names) : result;
}

int network_inside(uint32_t number) {
  static struct request request;
  struct names names = names_of(number);
  int fd = netlink_open(NETLINK_ROUTE);
  unsigned index = if_nametoindex(names.container);
  if (fd < 0 || index == 0) return -errno;
  request.length = 0;
  struct ifinfomsg lo = {.ifi_index = 1, .ifi_flags = IFF_UP, .ifi_change = IFF_UP};
  struct ifinfomsg link = {
      .ifi_index = (int)index, .ifi_flags = IFF_UP | IFF_NOARP, .ifi_change = IFF_UP | IFF_NOARP};
  request_begin(&request, RTM_NEWLINK, NLM_F_ACK, &lo, sizeof lo);
  request_begin(&request, RTM_NEWLINK, NLM_F_ACK, &link, sizeof link);
  put_address(&request, index, names.container_address, 30);
  put_neighbour(&request, index, names.host_address, names.host_mac);
  struct rtmsg route = {.rtm_family = AF_INET,
                        .rtm_table = RT_TABLE_MAIN,
                        .rtm_protocol = RTPROT_BOOT,
                        .rtm_type = RTN_UNICAST};
  request_begin(&request, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_ACK, &route, sizeof route);
  put_bytes(&request, RTA_GATEWAY, &names.host_address, 4);
  put_u32(&request, RTA_OIF, index);
  int result = request_send(fd, &request);
  close(fd);
  return result;
}
