#include "streams.h"

#include "descriptor.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <termios.h>
#include <unistd.h>

/* Descriptors that jobs leave to init, for clients that have something to say: to end jobs, above all. */
#define KEPT_DESCRIPTORS 64

void close_if(int fd) {
  if (fd >= 0) close(fd);
}

int input_make(void) { return memfd_create("stdin", MFD_CLOEXEC | MFD_ALLOW_SEALING); }

int input_put(int fd, const unsigned char *bytes, size_t length) {
  for (size_t at = 0; at < length;) {
    ssize_t written = pwrite(fd, bytes + at, length - at, (off_t)at);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return -1;
    at += (size_t)written;
  }
  return fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL);
}

static int open_sealed(const struct spawn_request *request, struct ends *ends) {
  if ((ends->job[0] = input_make()) < 0) return -1;
  return input_put(ends->job[0], request->input, request->input_length);
}

void ends_close_job(struct ends *ends) {
  for (int i = 0; i < 3; i++) {
    close_if(ends->job[i]);
    ends->job[i] = -1;
  }
}

void ends_close(struct ends *ends) {
  int saved = errno;
  ends_close_job(ends);
  for (size_t i = 0; i < ends->client_count; i++) close(ends->client[i]);
  for (int i = 0; i < 2; i++) close_if(ends->kept[i]);
  close_if(ends->input);
  close_if(ends->start);
  errno = saved;
}

static int open_terminal(const struct init *init, const struct spawn_request *request, struct ends *ends) {
  int master = openat(init->pts, "ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (master < 0) return -1;
  ends->client[ends->client_count++] = master;
  int lock = 0;
  struct winsize size = {.ws_row = request->rows, .ws_col = request->columns};
  /* TIOCGPTPEER: the other end of just this terminal, whatever stands at its path */
  if (ioctl(master, TIOCSPTLCK, &lock) != 0 ||
      (ends->job[0] = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC)) < 0)
    return -1;
  if (size.ws_row != 0) ioctl(master, TIOCSWINSZ, &size);
  for (int i = 1; i < 3; i++)
    if ((ends->job[i] = duplicate(ends->job[0], 0)) < 0) return -1;
  if ((request->job_id & WSHD_OPERATOR_JOB) != 0) return 0;
  /* with the last master the kernel hangs the terminal up: it outlives the daemon because it is here, too */
  if (fcntl(master, F_SETFL, O_RDWR | O_NONBLOCK) != 0 ||
      (ends->kept[0] = duplicate(master, 0)) < 0)
    return -1;
  if ((ends->client[1] = duplicate(master, 0)) < 0) return -1;
  ends->client_count = 2;
  return 0;
}

static int open_input(const struct spawn_request *request, struct ends *ends) {
  if (request->flags & WSHD_SPAWN_STDIN_PIPE) {
    int pair[2];
    if (pipe2(pair, O_CLOEXEC) != 0) return -1;
    ends->job[0] = pair[0];
    ends->client[ends->client_count++] = pair[1];
    if ((request->job_id & WSHD_OPERATOR_JOB) != 0) return 0;
    ends->input = duplicate(pair[1], 0);
    return ends->input < 0 ? -1 : 0;
  }
  if ((request->flags & WSHD_SPAWN_STDIN_FD) == 0) return open_sealed(request, ends);
  ends->job[0] = duplicate(request->input_fd, 0);
  return ends->job[0] < 0 ? -1 : 0;
}

int ends_open_output(const struct spawn_request *request, struct ends *ends) {
  for (int i = 0; i < 2; i++) {
    int pair[2];
    if (pipe2(pair, O_CLOEXEC) != 0) return -1;
    ends->job[1 + i] = pair[1];
    /* not blocking for the reader; the writer's end is another open file and stays as programs expect it */
    if (fcntl(pair[0], F_SETFL, O_RDONLY | O_NONBLOCK) != 0) {
      close(pair[0]);
      return -1;
    }
    if ((request->job_id & WSHD_OPERATOR_JOB) != 0 && (request->flags & WSHD_SPAWN_DISCARD) == 0) {
      /*
       * never handed over: kept here it would block a job whose operator has gone, which is to meet SIGPIPE
       */
      ends->client[ends->client_count++] = pair[0];
      continue;
    }
    ends->kept[i] = pair[0];
    if (request->flags & WSHD_SPAWN_DISCARD) continue;
    int client = duplicate(pair[0], 0);
    if (client < 0) return -1;
    ends->client[ends->client_count++] = client;
  }
  return 0;
}

/* The kernel gives the lowest free number, so that a high one means that few are left. */
int ends_leave_enough(const struct init *init, const struct ends *ends) {
  rlim_t limit = init->open_files.rlim_max;
  int highest = -1;
  for (int i = 0; i < 3; i++) highest = ends->job[i] > highest ? ends->job[i] : highest;
  for (size_t i = 0; i < ends->client_count; i++)
    highest = ends->client[i] > highest ? ends->client[i] : highest;
  if (limit < 4 * KEPT_DESCRIPTORS || (rlim_t)highest < limit - KEPT_DESCRIPTORS) return 0;
  errno = EMFILE;
  return -1;
}

int ends_open(const struct init *init, const struct spawn_request *request, struct ends *ends) {
  const bool is_terminal = (request->flags & WSHD_SPAWN_TTY) != 0;
  if ((is_terminal ? open_terminal(init, request, ends) : open_input(request, ends)) != 0) return -1;
  if (!is_terminal && ends_open_output(request, ends) != 0) return -1;
  return ends_leave_enough(init, ends);
}
