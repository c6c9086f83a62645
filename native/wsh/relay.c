/*
 * wsh, on the host: the relay.
 *
 * Writing to the job never blocks: a job that is itself blocked on its output, which only we read, would wait
 * for us for ever. Writing to the operator's descriptors may block: that is how a slow reader slows the job.
 * The operator's descriptors keep their blocking mode because the shell that started us shares them.
 */
#include "relay.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "message.h"
#include "socket.h"
#include "terminal.h"

#define CHUNK 65536

enum slot { SLOT_SOCKET, SLOT_LOCAL, SLOT_INPUT, SLOT_OUTPUT, SLOT_ERRORS, SLOT_COUNT };

/* What was read from the operator and not yet taken by the job. */
struct backlog {
  uint8_t bytes[CHUNK];
  size_t start;
  size_t end;
  bool local_ended;
};

static struct backlog backlog;
static uint8_t chunk[CHUNK];
static uint8_t packet[WSHD_MESSAGE_MAX];

static void close_slot(int *fd) {
  if (*fd >= 0) close(*fd);
  *fd = -1;
}

/* 0 or -errno. */
static int write_all(int fd, const uint8_t *bytes, size_t length) {
  while (length > 0) {
    ssize_t written = write(fd, bytes, length);
    if (written < 0 && errno == EAGAIN) {
      /* the operator's descriptor was non-blocking already */
      struct pollfd ready = {.fd = fd, .events = POLLOUT};
      poll(&ready, 1, -1);
      continue;
    }
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return -errno;
    bytes += written;
    length -= (size_t)written;
  }
  return 0;
}

/*
 * One read from the job, of `most` bytes; answers how many. The end of the stream, or of its reader, closes
 * it: a job that goes on writing gets SIGPIPE.
 */
static size_t copy_out(int *from, int to, size_t most) {
  ssize_t length = read(*from, chunk, most < sizeof(chunk) ? most : sizeof(chunk));
  if (length < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
  /* EIO: the last process has closed the pty */
  if (length <= 0 || write_all(to, chunk, (size_t)length) < 0) close_slot(from);
  return length > 0 ? (size_t)length : 0;
}

/*
 * Everything that is there now. Descendants of the job may hold the stream open; they are not waited for, nor
 * is what they go on writing. A terminal was hung up with the job: nobody writes there any more, and not all
 * of what it holds is counted.
 */
static void drain(int *from, int to, bool is_terminal) {
  struct pollfd ready = {.fd = *from, .events = POLLIN};
  int left = 0;
  if (is_terminal || *from < 0 || ioctl(*from, FIONREAD, &left) < 0) left = INT_MAX;
  while (*from >= 0 && left > 0 && poll(&ready, 1, 0) > 0) left -= (int)copy_out(from, to, (size_t)left);
  close_slot(from);
}

static void read_local(void) {
  ssize_t length = read(STDIN_FILENO, backlog.bytes, sizeof(backlog.bytes));
  if (length < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (length <= 0) {
    backlog.local_ended = true;
    return;
  }
  backlog.start = 0;
  backlog.end = (size_t)length;
}

/*
 * Gives the job what it takes now. A job that has closed its input loses the rest, as on the right side of a
 * shell's pipe.
 */
static void feed(int *input) {
  if (backlog.start < backlog.end) {
    ssize_t written = write(*input, backlog.bytes + backlog.start, backlog.end - backlog.start);
    if (written < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (written < 0) {
      backlog.start = backlog.end;
      backlog.local_ended = true;
    } else {
      backlog.start += (size_t)written;
    }
  }
}

/* 1 when the job has ended, 0 when something else came, or -errno. */
static int take_event(const struct relay *relay, int *status) {
  struct descriptors received;
  struct message_reader reader;
  struct wshd_header header;

  ssize_t length = socket_receive(relay->socket, packet, &received);
  for (size_t i = 0; i < received.count; i++) close(received.fd[i]);
  if (length == 0) return -ECONNRESET;
  if (length < 0) return (int)length;
  if (message_open(&reader, packet, (size_t)length, &header) < 0) return -EPROTO;
  if (header.type != WSHD_EXIT) return 0;
  uint32_t job_id = message_read_u32(&reader);
  *status = message_read_i32(&reader);
  if (reader.overrun) return -EPROTO;
  return job_id == relay->job_id;
}

static void resize(const struct relay *relay) {
  struct winsize size = terminal_size();
  if (size.ws_row > 0) ioctl(relay->output, TIOCSWINSZ, &size);
}

static void choose(const struct relay *relay, struct pollfd *slots) {
  const bool pending = backlog.start < backlog.end;
  const bool input_open = relay->is_terminal ? relay->output >= 0 : relay->input >= 0;

  for (int i = 0; i < SLOT_COUNT; i++) slots[i] = (struct pollfd){.fd = -1};
  slots[SLOT_SOCKET] = (struct pollfd){.fd = relay->socket, .events = POLLIN};
  if (input_open && !pending && !backlog.local_ended)
    slots[SLOT_LOCAL] = (struct pollfd){.fd = STDIN_FILENO, .events = POLLIN};
  /* watched without interest too, so that a job closing its input is noticed */
  if (!relay->is_terminal)
    slots[SLOT_INPUT] = (struct pollfd){.fd = relay->input, .events = pending ? POLLOUT : 0};
  else if (pending) slots[SLOT_INPUT] = (struct pollfd){.fd = relay->output, .events = POLLOUT};
  slots[SLOT_OUTPUT] = (struct pollfd){.fd = relay->output, .events = POLLIN};
  slots[SLOT_ERRORS] = (struct pollfd){.fd = relay->errors, .events = POLLIN};
}

static void serve_input(struct relay *relay, const struct pollfd *slots) {
  int *input = relay->is_terminal ? &relay->output : &relay->input;

  if (*input < 0) return;
  if (slots[SLOT_LOCAL].revents) read_local();
  if (slots[SLOT_LOCAL].revents || slots[SLOT_INPUT].revents & POLLOUT) feed(input);
  if (relay->is_terminal) return;
  if (slots[SLOT_INPUT].revents & POLLERR || (backlog.local_ended && backlog.start == backlog.end))
    close_slot(input);
}

/* 1: ended, 0: goes on, or -errno. */
static int round_once(struct relay *relay, int *status) {
  struct pollfd slots[SLOT_COUNT];

  if (relay->is_terminal && relay->output >= 0 && terminal_was_resized()) resize(relay);
  choose(relay, slots);
  int ready = ppoll(slots, SLOT_COUNT, NULL, &relay->waiting);
  if (ready < 0) return errno == EINTR ? 0 : -errno;
  serve_input(relay, slots);
  if (relay->output >= 0 && slots[SLOT_OUTPUT].revents) copy_out(&relay->output, STDOUT_FILENO, CHUNK);
  if (relay->errors >= 0 && slots[SLOT_ERRORS].revents) copy_out(&relay->errors, STDERR_FILENO, CHUNK);
  return slots[SLOT_SOCKET].revents ? take_event(relay, status) : 0;
}

int relay_run(struct relay *relay, int *status) {
  int result;

  memset(&backlog, 0, sizeof(backlog));
  int input = relay->is_terminal ? relay->output : relay->input;
  int flags = fcntl(input, F_GETFL);
  if (flags < 0 || fcntl(input, F_SETFL, flags | O_NONBLOCK) < 0) return -errno;

  do result = round_once(relay, status);
  while (result == 0);
  /* what was written before the end is in the pipes: deliver it before the status */
  drain(&relay->output, STDOUT_FILENO, relay->is_terminal);
  drain(&relay->errors, STDERR_FILENO, false);
  close_slot(&relay->input);
  return result < 0 ? result : 0;
}
