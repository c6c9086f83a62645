/* Somebody to reach: sends back what comes, by TCP and by UDP. */
#include "probe.h"

#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static int bound(int type, const char *port) {
  struct sockaddr_in own = {
      .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port)), .sin_addr = {htonl(INADDR_ANY)}};
  int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
  if (fd < 0 || bind(fd, (struct sockaddr *)&own, sizeof own) != 0) {
    perror("bind");
    exit(1);
  }
  return fd;
}

int listen_main(const char *port) {
  int tcp = bound(SOCK_STREAM, port), udp = bound(SOCK_DGRAM, port);
  if (listen(tcp, 64) != 0) return 1;
  puts("ready");
  for (;;) {
    struct pollfd both[] = {{.fd = tcp, .events = POLLIN}, {.fd = udp, .events = POLLIN}};
    if (poll(both, 2, -1) < 0) return 1;
    if (both[0].revents != 0) {
      int client = accept(tcp, NULL, NULL);
      if (client >= 0) close(client);
    }
    if (both[1].revents != 0) {
      char data[512];
      struct sockaddr_in from;
      socklen_t length = sizeof from;
      ssize_t got = recvfrom(udp, data, sizeof data, 0, (struct sockaddr *)&from, &length);
      if (got >= 0) sendto(udp, data, (size_t)got, 0, (struct sockaddr *)&from, length);
    }
  }
}
