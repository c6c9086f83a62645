#include "report.h"

#include "format.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int report_fd = -1;

void report_open(int fd) { report_fd = fd; }

int report_descriptor(void) { return report_fd; }

bool report_packet(const char *packet) {
  if (report_fd < 0) {
    complain("wshd: %s\n", packet);
    return true;
  }
  ssize_t sent;
  do sent = send(report_fd, packet, strlen(packet), MSG_NOSIGNAL);
  while (sent < 0 && errno == EINTR);
  return sent >= 0;
}

/* Blanks and line ends of an object would be taken for the end of the field. */
static void escape(char *out, size_t size, const char *text) {
  size_t at = 0;
  if (*text == '\0') text = "-";
  for (; *text != '\0' && at + 5 < size; text++) {
    unsigned char byte = (unsigned char)*text;
    if (byte > ' ' && byte != '\\') {
      out[at++] = *text;
      continue;
    }
    out[at++] = '\\';
    for (int shift = 6; shift >= 0; shift -= 3) out[at++] = (char)('0' + (byte >> shift & 7));
  }
  out[at] = '\0';
}

void report_format(char *packet, size_t size, const char *stage, int number, int exit_status,
                   const char *object, const char *text) {
  char escaped[1024];
  escape(escaped, sizeof escaped, object);
  format(packet, size, "error %s %d %d %s %s", stage, number, exit_status, escaped, text);
}

int report_failure(const char *stage, int number, int exit_status, const char *object, const char *text) {
  char packet[REPORT_MAX];
  report_format(packet, sizeof packet, stage, number, exit_status, object, text);
  report_packet(packet);
  return -1;
}

int report_errno(const char *stage, const char *object) {
  int number = errno;
  char text[1024];
  format(text, sizeof text, "%s %s: %s", stage, object, strerror(number));
  return report_failure(stage, number, 0, object, text);
}
