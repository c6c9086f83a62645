/*
 * warden-copy: copies between a host and a container, as two processes.
 *
 *   warden-copy outside in|out PATH OWNER [FORBIDDEN ...]    on the host, as the daemon's user
 *   warden-copy inside in|out PATH [ROOT]                    in the container, as its unprivileged user
 *
 * Descriptors: outside 3 is where the result goes, 4 the socket to the other one; inside 0 is the socket.
 * `in` is from the host to the container. With ROOT the inside role is a process of the host that treats this
 * directory as `/`.
 *
 *   warden-copy files OPERATION PATH FIRST SECOND [ROOT]     in the container, as one of its users: files.h
 *
 * The result is one line of fields, each ended by a NUL: `ok`, or `error`, errno, host|container, how many
 * failures, operation, path. Nothing of the container's file system is executed or believed: protocol.h says
 * what the two exchange.
 */
#include "channel.h"
#include "files.h"
#include "output.h"
#include "owner.h"
#include "place.h"
#include "receiver.h"
#include "result_field.h"
#include "sender.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define RESULT_FD 3
#define OUTSIDE_SOCKET 4
#define INSIDE_SOCKET 0

static struct channel channel; /* too large for a stack */

/* Whoever starts this process takes it along when it ends. */
static void tie_to_parent(void) { prctl(PR_SET_PDEATHSIG, SIGTERM); }

static void harden(void) {
  struct rlimit none = {0, 0};
  prctl(PR_SET_DUMPABLE, 0); /* nobody of the same user may look into this process or take its descriptors */
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  setrlimit(RLIMIT_CORE, &none);
  umask(022);
  output_init();
}

/* What reading and writing other people's files takes, and no more. */
static int drop_capabilities(void) {
  const unsigned kept =
      1u << CAP_CHOWN | 1u << CAP_DAC_OVERRIDE | 1u << CAP_DAC_READ_SEARCH | 1u << CAP_FOWNER;
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct data[2];
  if (syscall(SYS_capget, &header, data) != 0) return -1;
  data[0].effective &= kept;
  data[0].permitted &= kept;
  data[0].inheritable = data[1].effective = data[1].permitted = data[1].inheritable = 0;
  return (int)syscall(SYS_capset, &header, data);
}

static void exchange(const struct place *place, bool sends, const char *path,
                     const struct output_rules *rules, const char *const *forbidden, struct failure *own,
                     struct failure *peer) {
  if (sends) send_tree(&channel, place, path, own, peer);
  else receive_tree(&channel, place, path, rules, forbidden, own, peer);
}

static int report(const struct failure *failure, const char *side) {
  char line[FAILURE_PATH_MAX + 256];
  size_t length = 0;
  char number[32];
  if (failure->error == 0) {
    length = result_field(line, sizeof line, "ok");
  } else {
    length += result_field(line + length, sizeof line - length, "error");
    snprintf(number, sizeof number, "%d", failure->error);
    length += result_field(line + length, sizeof line - length, number);
    length += result_field(line + length, sizeof line - length, side);
    snprintf(number, sizeof number, "%llu", (unsigned long long)failure->count);
    length += result_field(line + length, sizeof line - length, number);
    length += result_field(line + length, sizeof line - length, failure->operation);
    length += result_field(line + length, sizeof line - length, failure->path);
  }
  ssize_t written;
  do written = write(RESULT_FD, line, length);
  while (written < 0 && errno == EINTR);
  return failure->error == 0 && written == (ssize_t)length ? 0 : 1;
}

static int outside(bool copies_in, const char *path, const char *owner, const char *const *forbidden) {
  struct place host = {.root = -1, .home = "/"};
  struct output_rules rules = {.mask = OUTPUT_MODES};
  static struct failure own, peer;
  if (!owner_parse(owner, "/etc", &rules.uid, &rules.gid)) {
    failure_note(&own, errno, "find owner", owner, "");
    return report(&own, "host");
  }
  if (drop_capabilities() != 0) {
    failure_note(&own, errno, "confine", "capabilities", "");
    return report(&own, "host");
  }
  channel_init(&channel, OUTSIDE_SOCKET, true);
  exchange(&host, copies_in, path, &rules, forbidden, &own, &peer);
  /* a connection that broke is the least of what may be known */
  bool is_own = own.error != 0 && (peer.error == 0 || (own.error != ECONNRESET));
  return is_own ? report(&own, "host") : report(&peer, "container");
}

static int inside(bool copies_in, const char *path, const char *root) {
  static const char *const nothing[] = {NULL};
  struct place place;
  /* every bit: the original's copy_in keeps permissions as they are */
  struct output_rules rules = {.mask = 07777, .uid = OUTPUT_KEEP, .gid = (gid_t)-1};
  static struct failure own, peer;
  channel_init(&channel, INSIDE_SOCKET, false);
  if ((root == NULL ? place_own_root(&place) : place_directory(&place, root)) != 0) {
    failure_note(&own, errno, "open root", root == NULL ? "/" : root, "");
    channel_send_failure(&channel, copies_in ? COPY_DONE : COPY_END, &own);
    return 1;
  }
  exchange(&place, !copies_in, path, &rules, nothing, &own, &peer);
  return own.error == 0 && peer.error == 0 ? 0 : 1;
}

int main(int argc, char **argv) {
  tie_to_parent();
  harden();
  bool copies_in = argc > 2 && strcmp(argv[2], "in") == 0;
  if (argc > 4 && strcmp(argv[1], "outside") == 0)
    return outside(copies_in, argv[3], argv[4], (const char *const *)argv + 5);
  if ((argc == 4 || argc == 5) && strcmp(argv[1], "inside") == 0) return inside(copies_in, argv[3], argv[4]);
  if ((argc == 6 || argc == 7) && strcmp(argv[1], "files") == 0) return files_main(argc, argv);
  static const char usage[] = "usage: warden-copy outside in|out PATH OWNER [FORBIDDEN ...]\n       "
                              "warden-copy inside in|out PATH [ROOT]\n";
  return write(STDERR_FILENO, usage, sizeof usage - 1) < 0 ? 3 : 2;
}
