/*
 * wsh: runs a command, or a shell, in a container. It needs nothing but the container's socket; the daemon
 * may be away.
 *
 * Exit status: the command's; 255 when it died by a signal, could not be started, or init cannot be reached;
 * 1 for a wrong command line.
 */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "message.h"
#include "options.h"
#include "relay.h"
#include "socket.h"
#include "terminal.h"

#define DEFAULT_SOCKET "run/wshd.sock"
#define EXIT_INTERNAL 255

enum { SEQUENCE_HELLO = 1, SEQUENCE_SPAWN = 2 };

static struct message message;
static uint8_t packet[WSHD_MESSAGE_MAX];

static void print_usage(const char *program) {
  fprintf(stderr,
          "Usage: %s OPTION... [COMMAND...]\n"
          "\n"
          "  --socket PATH   Path to socket (default: " DEFAULT_SOCKET ")\n"
          "  --user USER     User to run the command as (default: root)\n"
          "  --env NAME=VAL  Set a variable of the command's environment (repeatable)\n"
          "  --rsh           Take the remaining words as rsh(1) does\n"
          "  -h, --help      Print this help message\n",
          program);
}

static int fail(const char *what, int error) {
  terminal_restore();
  fprintf(stderr, "wsh: %s: %s\n", what, strerror(-error));
  return EXIT_INTERNAL;
}

/*
 * The socket next to the directory of this binary: <container>/bin/wsh finds <container>/run/wshd.sock from
 * anywhere.
 */
static int connect_beside_binary(void) {
  char path[PATH_MAX];
  ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 1);

  if (length < 0) return -errno;
  path[length] = '\0';
  for (int level = 0; level < 2; level++) {
    char *slash = strrchr(path, '/');
    if (!slash) return -ENOENT;
    *slash = '\0';
  }
  if (strlen(path) + sizeof("/" DEFAULT_SOCKET) > sizeof(path)) return -ENAMETOOLONG;
  memcpy(path + strlen(path), "/" DEFAULT_SOCKET, sizeof("/" DEFAULT_SOCKET));
  return socket_connect(path);
}

static int connect_init(const struct wsh_options *options) {
  if (options->socket) return socket_connect(options->socket);
  int fd = socket_connect(DEFAULT_SOCKET);
  return fd == -ENOENT ? connect_beside_binary() : fd;
}

static int send_requests(int fd, const struct wsh_options *options, bool is_terminal) {
  struct winsize size = {0};

  message_begin(&message, WSHD_HELLO, SEQUENCE_HELLO);
  message_u32(&message, WSHD_ROLE_OPERATOR);
  int result = socket_send(fd, message.bytes, message.length);
  if (result < 0) return result;
  if (is_terminal) size = terminal_size();
  message_spawn(&message, SEQUENCE_SPAWN, options, is_terminal ? WSHD_SPAWN_TTY : WSHD_SPAWN_STDIN_PIPE,
                size.ws_row, size.ws_col, is_terminal ? getenv("TERM") : NULL);
  return message.overflow ? -E2BIG : socket_send(fd, message.bytes, message.length);
}

/* Prints what init refused and why. */
static void refuse(struct message_reader *reader) {
  size_t operation_length, text_length;
  int error = message_read_i32(reader);
  const char *operation = message_read_string(reader, &operation_length);
  const char *text = message_read_string(reader, &text_length);

  fprintf(stderr, "wsh: %.*s: %s%s%.*s\n", (int)operation_length, operation, strerror(error),
          text_length > 0 ? ": " : "", (int)text_length, text);
}

static void close_all(const struct descriptors *received) {
  for (size_t i = 0; i < received->count; i++) close(received->fd[i]);
}

/* Waits for SPAWNED. 0, -errno with a message still to be printed, or 1 when init's own text has been. */
static int await_spawned(int fd, struct relay *relay) {
  struct descriptors received;
  struct message_reader reader;
  struct wshd_header header;
  const size_t expected = relay->is_terminal ? 1 : 3;

  for (;;) {
    ssize_t length = socket_receive(fd, packet, &received);
    if (length <= 0) {
      close_all(&received);
      return length == 0 ? -ECONNRESET : (int)length;
    }
    bool opened = message_open(&reader, packet, (size_t)length, &header) == 0;
    if (opened && header.type == WSHD_SPAWNED && header.sequence == SEQUENCE_SPAWN) {
      relay->job_id = message_read_u32(&reader);
      if (!reader.overrun && received.count == expected) break;
      opened = false;
    }
    close_all(&received);
    if (!opened) return -EPROTO;
    if (header.type == WSHD_ERROR) {
      refuse(&reader);
      return 1;
    }
  }
  relay->input = relay->is_terminal ? -1 : received.fd[0];
  relay->output = relay->is_terminal ? received.fd[0] : received.fd[1];
  relay->errors = relay->is_terminal ? -1 : received.fd[2];
  return 0;
}

static int run(const struct wsh_options *options) {
  struct relay relay = {.is_terminal = isatty(STDIN_FILENO) == 1};
  int status = 0;

  int fd = connect_init(options);
  if (fd < 0) return fail("cannot connect to the container", fd);
  relay.socket = fd;
  int result = send_requests(fd, options, relay.is_terminal);
  if (result < 0) return fail("cannot start the command", result);
  result = await_spawned(fd, &relay);
  if (result > 0) return EXIT_INTERNAL;
  if (result < 0) return fail("cannot start the command", result);

  sigemptyset(&relay.waiting);
  /* only now: until here ^C ends us as any program */
  if (relay.is_terminal && (result = terminal_enter_raw(&relay.waiting)) < 0)
    return fail("cannot use the terminal", result);
  result = relay_run(&relay, &status);
  if (result < 0) return fail("lost the container", result);
  return WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_INTERNAL;
}

int main(int argc, char **argv) {
  struct wsh_options options;
  const char *wrong = NULL;

  switch (wsh_options_parse(&options, argc, argv, &wrong)) {
    case WSH_OPTIONS_HELP:
      print_usage(argv[0]);
      return 1;
    case WSH_OPTIONS_INVALID:
      fprintf(stderr, "%s: invalid option -- %s\n", argv[0], wrong);
      return 1;
    case WSH_OPTIONS_OK:
      break;
  }
  if (wsh_limits_read(options.limits, getenv, &wrong) != 0) {
    fprintf(stderr, "wsh: %s: Invalid argument\n", wrong);
    return EXIT_INTERNAL;
  }
  options.limit_count = WSH_LIMITS;
  options.lang = getenv("LANG");
  if (!options.lang) options.lang = "";
  /* a closed reader is an EPIPE of write(2), handled where it happens */
  signal(SIGPIPE, SIG_IGN);
  return run(&options);
}
