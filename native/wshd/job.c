#include "init.h"

#include "failpoint.h"
#include "prepared.h"
#include "start.h"
#include "streams.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

/* Children collected in one turn: a storm of orphans must not keep clients waiting. */
#define REAP_MAX 1024

/* Every message is sent, or copied to a queue, before the next one is begun. */
static struct wire_writer message;

/* The end of its pipe is seen again and again by epoll: whoever stops reading takes it out. */
static void start_draining(struct init *init, struct stream *stream) {
  if (stream->fd < 0 || stream->draining || stream->at_end) return;
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = stream};
  stream->draining = epoll_ctl(init->epoll, EPOLL_CTL_ADD, stream->fd, &event) == 0;
}

struct job *job_spawn(struct init *init, const struct spawn_request *request, int *fds, size_t *fd_count,
                      int *start, const char **operation) {
  struct ends ends = ENDS_NONE;
  struct job *job = calloc(1, sizeof *job);
  *operation = "allocate job";
  if (job == NULL) return NULL;
  pid_t pid = prepared_take(init, request, &ends);
  if (pid == 0) {
    *operation = "open streams";
    pid = -1;
    if (ends_open(init, request, &ends) == 0) {
      *operation = "fork";
      pid = start_process(init, request, ends.job);
    }
  }
  if (pid < 0) {
    ends_close(&ends);
    free(job);
    return NULL;
  }
  ends_close_job(&ends);
  *job = (struct job){.id = request->job_id, .flags = request->flags, .pid = pid, .input = ends.input};
  for (int i = 0; i < 2; i++)
    job->streams[i] = (struct stream){.watch = {WATCH_STREAM}, .job = job, .fd = ends.kept[i]};
  if (request->flags & WSHD_SPAWN_TTY) job->streams[1].at_end = true; /* a terminal is one stream */
  job_add(init, job);
  if (request->flags & WSHD_SPAWN_DISCARD)
    for (int i = 0; i < 2; i++) start_draining(init, &job->streams[i]);
  memcpy(fds, ends.client, sizeof(int) * ends.client_count);
  *fd_count = ends.client_count;
  *start = ends.start;
  return job;
}

static void stop_draining(struct init *init, struct stream *stream) {
  if (!stream->draining) return;
  stream->draining = false;
  epoll_ctl(init->epoll, EPOLL_CTL_DEL, stream->fd, NULL);
}

void job_forget(struct init *init, struct job *job) {
  if (init->next_handed_over == job) init->next_handed_over = job->next;
  job_remove(init, job);
  job->next = init->forgotten;
  init->forgotten = job;
  job_end_input(job);
  for (int i = 0; i < 2; i++) {
    stop_draining(init, &job->streams[i]);
    close_if(job->streams[i].fd);
    job->streams[i].fd = -1;
    ring_clear(&job->streams[i].ring);
  }
}

void jobs_bury(struct init *init) {
  while (init->forgotten != NULL) {
    struct job *job = init->forgotten;
    init->forgotten = job->next;
    free(job);
  }
}

static void send_exit(struct init *init, const struct job *job, struct connection *operator) {
  struct connection *to = (job->id & WSHD_OPERATOR_JOB) == 0 ? init->daemon : operator;
  if (to == NULL) return;
  wire_begin(&message, WSHD_EXIT, 0);
  wire_put_u32(&message, job->id);
  wire_put_u32(&message, (uint32_t)job->status);
  connection_send(init, to, &message, NULL, 0);
}

static void answer_waiters(struct init *init) {
  while (init->waiters != NULL) {
    struct waiter *waiter = init->waiters;
    init->waiters = waiter->next;
    wire_begin(&message, WSHD_OK, waiter->sequence);
    connection_send(init, waiter->connection, &message, NULL, 0);
    free(waiter);
  }
}

static void end_job(struct init *init, struct job *job, int status) {
  struct connection *owner = job->owner;
  job->ended = true;
  job->status = status;
  job_end_input(job);
  if (failpoint(AT_EXIT) != 0 && init->daemon != NULL) connection_end(init, init->daemon);
  prepared_behind(init, job->id);
  job->owner = NULL; /* should the connection break now, this job is not its to forget: that happens here */
  send_exit(init, job, owner);
  if (failpoint(AT_EXIT_TOLD) != 0 && init->daemon != NULL) connection_end(init, init->daemon);
  if ((job->id & WSHD_OPERATOR_JOB) != 0) job_forget(init, job);
}

/*
 * A process may have made its parent its tracer (PTRACE_TRACEME), and init is the parent of jobs and of
 * whoever has lost his own: it then stands at each signal, and wait tells of that as it tells of an end.
 * Nobody here traces, so it goes on by itself, with its signal; the one that tells a tracer of an exec is for
 * nobody else.
 */
static void let_go(pid_t pid, int status) {
  siginfo_t info;
  long signal = WSTOPSIG(status);
  if (signal == SIGTRAP && ptrace(PTRACE_GETSIGINFO, pid, NULL, &info) == 0 && info.si_code == SI_USER)
    signal = 0;
  ptrace(PTRACE_DETACH, pid, NULL, signal); /* ESRCH: it was killed, and is met again */
}

void jobs_reap(struct init *init) {
  int status;
  pid_t pid;
  int collected = 0;
  while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
    struct job *job = WIFSTOPPED(status) ? NULL : job_take_pid(init, pid);
    if (WIFSTOPPED(status)) let_go(pid, status);
    else if (job != NULL) end_job(init, job, status);
    else prepared_ended(init, pid); /* or an orphan that somebody left to init */
    if (++collected == REAP_MAX) break;
  }
  init->reap_again = pid > 0;
  /* every process here is init's child or has an ancestor that is: no child left means no process left */
  init->is_empty = pid < 0 && errno == ECHILD;
  if (init->is_empty) {
    init->is_dropping = false;
    answer_waiters(init);
  }
  prepared_start_expected(init);
}

void waiters_drop(struct init *init, const struct connection *connection) {
  for (struct waiter **at = &init->waiters; *at != NULL;) {
    struct waiter *waiter = *at;
    if (waiter->connection != connection) {
      at = &waiter->next;
      continue;
    }
    *at = waiter->next;
    free(waiter);
  }
}

void job_signal(struct init *init, struct job *job, int signal, bool tree) {
  if (job->pid == 0) return; /* it has ended, which is success; what it left behind belongs to init since */
  if (tree) tree_signal(init->proc, job->pid, signal, init->keeper != 0);
  else kill(job->pid, signal);
}

void job_hang_up(const struct job *job) {
  if (job->pid != 0 && kill(-job->pid, SIGHUP) != 0) kill(job->pid, SIGHUP); /* not come to setsid() yet */
}

void job_end_input(struct job *job) {
  close_if(job->input);
  job->input = -1;
}

void job_resize(struct job *job, uint16_t rows, uint16_t columns) {
  struct winsize size = {.ws_row = rows, .ws_col = columns};
  if ((job->flags & WSHD_SPAWN_TTY) != 0 && job->streams[0].fd >= 0)
    ioctl(job->streams[0].fd, TIOCSWINSZ, &size);
}

void jobs_drain(struct init *init, bool drain) {
  for (struct job *job = init->jobs; job != NULL; job = job->next) {
    if ((job->id & WSHD_OPERATOR_JOB) != 0 || (job->flags & WSHD_SPAWN_LIVE) != 0) continue;
    for (int i = 0; i < 2; i++) {
      if (drain) start_draining(init, &job->streams[i]);
      else if ((job->flags & WSHD_SPAWN_DISCARD) == 0) stop_draining(init, &job->streams[i]);
    }
  }
}

void stream_event(struct init *init, struct stream *stream) {
  static unsigned char buffer[WSHD_RING_BYTES];
  if (!stream->draining) return;
  ssize_t got = read(stream->fd, buffer, sizeof buffer);
  if (got > 0) {
    ring_append(&stream->ring, buffer, (size_t)got);
    return;
  }
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  stop_draining(init, stream);
  stream->at_end = true;
  struct stream *both = stream->job->streams;
  if (!both[0].at_end || !both[1].at_end) return; /* a hand-over has two descriptors or none */
  for (int i = 0; i < 2; i++) {
    close_if(both[i].fd);
    both[i].fd = -1;
  }
}

static void send_ring(struct init *init, struct connection *daemon, struct job *job, int number) {
  unsigned char chunk[WSHD_RING_CHUNK];
  struct ring *ring = &job->streams[number].ring;
  for (size_t offset = 0, length; (length = ring_peek(ring, offset, chunk, sizeof chunk)) > 0;
       offset += length) {
    wire_begin(&message, WSHD_RING, 0);
    wire_put_u32(&message, job->id);
    wire_put_u32(&message, (uint32_t)number + 1);
    wire_put_u64(&message, ring->position + offset);
    wire_put_block(&message, chunk, length);
    connection_send(init, daemon, &message, NULL, 0);
  }
  job->streams[number].handed_over = ring->position + ring->length;
}

void jobs_handed_over(struct init *init) {
  for (struct job *job = init->jobs; job != NULL; job = job->next) {
    for (int i = 0; i < 2; i++) {
      struct stream *stream = &job->streams[i];
      ring_take(&stream->ring, stream->handed_over);
    }
  }
}

static void send_job(struct init *init, struct connection *daemon, struct job *job) {
  int fds[3];
  size_t fd_count = 0;
  uint32_t input_open = job->input >= 0 ? WSHD_SPAWN_INPUT_OPEN : 0;
  if (input_open != 0) fds[fd_count++] = job->input;
  if ((job->flags & WSHD_SPAWN_TTY) != 0 && job->streams[0].fd >= 0) fds[fd_count++] = job->streams[0].fd;
  wire_begin(&message, WSHD_JOB, 0);
  wire_put_u32(&message, job->id);
  wire_put_u32(&message, job->ended);
  wire_put_u32(&message, (uint32_t)job->status);
  wire_put_u32(&message, job->flags | input_open);
  for (int i = 0; i < 2; i++) wire_put_u64(&message, job->streams[i].ring.position);
  for (int i = 0; i < 2; i++) {
    wire_put_u32(&message, (uint32_t)job->streams[i].ring.length);
    if (job->streams[i].fd >= 0 && (job->flags & WSHD_SPAWN_DISCARD) == 0)
      fds[fd_count++] = job->streams[i].fd;
  }
  for (int i = 0; i < 2; i++) wire_put_u64(&message, job->streams[i].ring.dropped);
  connection_send(init, daemon, &message, fds, fd_count);
  for (int i = 0; i < 2; i++) send_ring(init, daemon, job, i);
}

/*
 * Job by job as the daemon reads: all at once, the rings of thousands would be in memory twice. An EXIT may
 * overtake its JOB, which then says the same. The rings stay until the daemon asks for something: one that
 * dies before leaves them to its successor, which knows by the positions what the other may have put away.
 */
void jobs_hand_over(struct init *init, struct connection *daemon) {
  while (init->next_handed_over != NULL && !daemon->dead && !daemon->unread &&
         daemon->queued < QUEUE_PAUSE / 2) {
    struct job *job = init->next_handed_over;
    init->next_handed_over = job->next;
    if ((job->id & WSHD_OPERATOR_JOB) == 0) send_job(init, daemon, job);
  }
  if (init->next_handed_over != NULL || daemon->dead || daemon->unread) return;
  if (failpoint(AT_HANDED_OVER) != 0) {
    connection_end(init, daemon);
    return;
  }
  daemon->ready = true;
  wire_begin(&message, WSHD_READY, 0);
  connection_send(init, daemon, &message, NULL, 0);
}
