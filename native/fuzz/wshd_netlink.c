/*
 * What init makes of the kernel's answers while it sets up its network: each answer is a length and that many
 * bytes.
 */
#include "fuzz.h"

#include "../wshd/setting.h"

#include <errno.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

static struct input answers;
static unsigned requests;

static ssize_t fuzz_send(int fd, const void *bytes, size_t length, int flags) {
  (void)fd;
  (void)flags;
  uint32_t said;
  must(length >= 16 && length <= 16 + 256);
  memcpy(&said, bytes, sizeof said);
  must(said == length);
  free(exact_copy(bytes, length)); /* all of it can be read */
  requests++;
  return (ssize_t)length;
}

static ssize_t fuzz_recv(int fd, void *into, size_t size, int flags) {
  size_t length;
  (void)fd;
  (void)flags;
  if (answers.left == 0) {
    errno = ENOBUFS;
    return -1;
  }
  const uint8_t *bytes = input_take(&answers, input_byte(&answers), &length);
  if (length > size) length = size;
  if (length > 0) memcpy(into, bytes, length);
  return (ssize_t)length;
}

static int fuzz_socket(int domain, int type, int protocol) {
  (void)domain;
  (void)type;
  (void)protocol;
  return dup(0);
}

static int fuzz_ioctl(int fd, unsigned long request, struct ifreq *query) {
  (void)fd;
  must(request == SIOCGIFINDEX && memchr(query->ifr_name, '\0', sizeof query->ifr_name) != NULL);
  query->ifr_ifindex = 7;
  return 0;
}

/* The settings of the machine that searches stay as they are. */
int setting_write_own(int settings, const char *path, const char *value) {
  must(settings == -1);
  must(strncmp(path, "/proc/sys/net/", 14) == 0 && strlen(path) < 96);
  free(exact_copy(value, strlen(value)));
  return 0;
}

#define send fuzz_send
#define recv fuzz_recv
#define socket fuzz_socket
#define ioctl(fd, request, query) fuzz_ioctl(fd, request, query)
#include "../wshd/inside_network.c"

int report_errno(const char *stage, const char *object) {
  must(stage[0] != '\0' && object[0] != '\0');
  return -1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct input input = {.at = data, .left = size};
  struct plan plan = {0};
  plan.interface = input_text(&input, '\0'); /* plan.c knows no empty word */
  if (plan.interface[0] == '\0') plan.interface = (free(plan.interface), strdup("eth0"));
  plan.address = input_number(&input, 4);
  plan.gateway = input_number(&input, 4);
  plan.prefix_length = input_byte(&input) % 33;
  plan.mtu = input_number(&input, 2);
  plan.has_gateway_mac = input_byte(&input) % 2 == 0;
  answers = input;
  requests = 0;
  uint64_t before = open_descriptors();
  int result = inside_network(&plan, -1);
  must(result == 0 || result == -1);
  /* all went well only when each request had its acknowledgement */
  if (result == 0)
    must(requests ==
         2u + (plan.address != 0) + (plan.gateway != 0) + (plan.gateway != 0 && plan.has_gateway_mac));
  must(open_descriptors() == before);
  free(plan.interface);
  return 0;
}
