#include "report.h"

#include "bare.h"
#include "format.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int report_fd = -1;

void report_open(int fd) { report_fd = fd; }

int report_descriptor(void) { return report_fd; }

bool report_to(int fd, const char *packet) {
  if (fd >= 0) return bare_send(fd, packet, strlen(packet)) >= 0;
  complain("wshd: %s\n", packet);
  return true;
}

bool report_packet(const char *packet) { return report_to(report_fd, packet); }

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

int report_failure_to(int fd, const char *stage, int number, int exit_status, const char *object,
                      const char *text) {
  char escaped[1024], packet[REPORT_MAX];
  escape(escaped, sizeof escaped, object);
  format(packet, sizeof packet, "error %s %d %d %s %s", stage, number, exit_status, escaped, text);
  report_to(fd, packet);
  return -1;
}

int report_failure(const char *stage, int number, int exit_status, const char *object, const char *text) {
  return report_failure_to(report_fd, stage, number, exit_status, object, text);
}

int report_errno_to(int fd, const char *stage, int number, const char *object) {
  char text[1024];
  format(text, sizeof text, "%s %s: %s", stage, object, strerror(number));
  return report_failure_to(fd, stage, number, 0, object, text);
}

int report_errno(const char *stage, const char *object) {
  return report_errno_to(report_fd, stage, errno, object);
}
