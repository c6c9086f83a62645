#include "init.h"

#include "failpoint.h"
#include "prepared.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ARGUMENTS_MAX 4096
#define KNOWN_FLAGS                                                                                          \
  (WSHD_SPAWN_TTY | WSHD_SPAWN_DISCARD | WSHD_SPAWN_TREE | WSHD_SPAWN_STDIN_PIPE | WSHD_SPAWN_STDIN_FD |     \
   WSHD_SPAWN_PROGRAM_FD | WSHD_SPAWN_LIVE | WSHD_SPAWN_ROOMY)

static struct wire_writer answer;

static void send_ok(struct init *init, struct connection *connection, uint32_t sequence) {
  wire_begin(&answer, WSHD_OK, sequence);
  connection_send(init, connection, &answer, NULL, 0);
}

static void send_error(struct init *init, struct connection *connection, uint32_t sequence, int number,
                       const char *operation) {
  const char *text = strerror(number);
  wire_begin(&answer, WSHD_ERROR, sequence);
  wire_put_u32(&answer, (uint32_t)number);
  wire_put_block(&answer, operation, strlen(operation));
  wire_put_block(&answer, text, strlen(text));
  connection_send(init, connection, &answer, NULL, 0);
}

static void hello(struct init *init, struct connection *connection, uint32_t sequence, uint32_t role) {
  if (failpoint(AT_HELLO) != 0) {
    send_error(init, connection, sequence, errno, "failpoint wshd.hello");
    return;
  }
  connection->role = role;
  if (role == WSHD_ROLE_OPERATOR) {
    wire_begin(&answer, WSHD_WELCOME, sequence);
    wire_put_u32(&answer, 0);
    connection_send(init, connection, &answer, NULL, 0);
    wire_begin(&answer, WSHD_READY, 0);
    connection_send(init, connection, &answer, NULL, 0);
    return;
  }
  /*
   * a daemon that comes while one is connected is its successor, and is told what has become of all that the
   * other one asked for
   */
  if (init->daemon != NULL && init->daemon != connection) connection_replace(init, init->daemon);
  init->daemon = connection;
  connection->handing_over = true;
  jobs_drain(init, false);
  uint32_t count = 0;
  for (const struct job *job = init->jobs; job != NULL; job = job->next)
    count += (job->id & WSHD_OPERATOR_JOB) == 0;
  wire_begin(&answer, WSHD_WELCOME, sequence);
  wire_put_u32(&answer, count);
  wire_put_u32(&answer, (init->may_prepare ? WSHD_CAN_PREPARE : 0) | (init->may_lend ? WSHD_CAN_LEND : 0));
  connection_send(init, connection, &answer, NULL, 0);
  init->next_handed_over = init->jobs;
  jobs_hand_over(init, connection);
}

/* A terminated copy; NULL with `failed` set when it holds a NUL byte or there is no memory. */
static char *take_string(struct wire_reader *reader) {
  uint32_t length;
  const unsigned char *bytes = wire_bytes(reader, &length);
  if (reader->failed || memchr(bytes, '\0', length) != NULL) {
    reader->failed = true;
    return NULL;
  }
  char *text = malloc(length + 1);
  if (text == NULL) {
    reader->failed = true;
    return NULL;
  }
  memcpy(text, bytes, length);
  text[length] = '\0';
  return text;
}

static char **take_strings(struct wire_reader *reader, uint32_t *count) {
  *count = wire_u32(reader);
  if (*count > ARGUMENTS_MAX) reader->failed = true;
  char **list = reader->failed ? NULL : calloc(*count + 1, sizeof *list);
  if (list == NULL) {
    reader->failed = true;
    *count = 0;
    return NULL;
  }
  for (uint32_t i = 0; i < *count && !reader->failed; i++) list[i] = take_string(reader);
  return list;
}

static void take_limits(struct wire_reader *reader, struct spawn_request *request) {
  request->limit_count = wire_u32(reader);
  if (request->limit_count > 32) reader->failed = true;
  request->limits = reader->failed ? NULL : calloc(request->limit_count + 1, sizeof *request->limits);
  if (request->limits == NULL) {
    reader->failed = true;
    request->limit_count = 0;
    return;
  }
  for (uint32_t i = 0; i < request->limit_count; i++) {
    request->limits[i].resource = wire_u32(reader);
    request->limits[i].soft = wire_u64(reader);
    request->limits[i].hard = wire_u64(reader);
  }
}

static void free_strings(char **list, uint32_t count) {
  if (list == NULL) return;
  for (uint32_t i = 0; i < count; i++) free(list[i]);
  free(list);
}

void request_free(struct spawn_request *request) {
  free_strings(request->argv, request->argc);
  free_strings(request->environment, request->envc);
  free(request->limits);
  free(request->directory);
}

/*
 * What a message says; `request_free()` is the caller's, whatever comes of it. What only a newer daemon can mean
 * is not left out in silence: it would have its job do something else than it was asked for.
 */
static void take_request(struct wire_reader *reader, struct spawn_request *request) {
  request->job_id = wire_u32(reader);
  request->flags = wire_u32(reader);
  if ((request->flags & ~(uint32_t)KNOWN_FLAGS) != 0) reader->failed = true;
  request->rows = wire_u16(reader);
  request->columns = wire_u16(reader);
  uint32_t length;
  const unsigned char *user = wire_bytes(reader, &length);
  if (length >= sizeof request->user || memchr(user, '\0', length) != NULL) reader->failed = true;
  else memcpy(request->user, user, length);
  request->argv = take_strings(reader, &request->argc);
  request->environment = take_strings(reader, &request->envc);
  take_limits(reader, request);
  request->input = wire_bytes(reader, &request->input_length);
  if (!reader->failed && reader->at < reader->end) request->directory = take_string(reader);
  if (!reader->failed && reader->at < reader->end) request->next_within = wire_u32(reader);
  if (reader->at < reader->end) reader->failed = true;
}

/*
 * What may be started before it is asked for: nothing that comes with descriptors, or whose output is init's
 * to read.
 */
static bool is_preparable(const struct spawn_request *request) {
  const uint32_t possible = WSHD_SPAWN_TREE | WSHD_SPAWN_LIVE | WSHD_SPAWN_ROOMY;
  return (request->flags & ~possible) == 0 && request->argc > 0;
}

static void spawn(struct init *init, struct connection *connection, uint32_t sequence,
                  struct wire_reader *reader, const int *received, size_t received_count) {
  struct spawn_request request = {
      .input_fd = received_count > 0 ? received[0] : -1, .program_fd = -1, .start_fd = -1};
  prepared_asked(init);
  take_request(reader, &request);
  bool is_operator = connection->role == WSHD_ROLE_OPERATOR;
  if ((request.flags & WSHD_SPAWN_STDIN_FD) != 0 && request.input_fd < 0) reader->failed = true;
  if ((request.flags & WSHD_SPAWN_PROGRAM_FD) != 0) {
    bool has_input = (request.flags & WSHD_SPAWN_STDIN_FD) != 0;
    if (received_count < (has_input ? 2u : 1u) || request.argc == 0) reader->failed = true;
    else request.program_fd = received[received_count - 1];
  }
  if (is_operator) request.job_id = WSHD_OPERATOR_JOB | init->next_operator_job++;
  const char *operation = "spawn";
  int fds[WSHD_FDS_MAX];
  size_t fd_count = 0;
  int start = -1;
  struct job *job = NULL;
  if (reader->failed) {
    errno = EPROTO;
  } else if (!is_operator && ((request.job_id & WSHD_OPERATOR_JOB) != 0 || request.job_id == 0)) {
    errno = EINVAL;
  } else if (job_find(init, request.job_id) != NULL) {
    errno = EEXIST;
  } else if (failpoint(AT_SPAWN) != 0) {
    operation = "failpoint wshd.spawn";
  } else {
    job = job_spawn(init, &request, fds, &fd_count, &start, &operation);
  }
  if (job == NULL) {
    send_error(init, connection, sequence, errno, operation);
  } else {
    if (is_operator) job->owner = connection;
    if (failpoint(AT_SPAWNED) != 0) connection_end(init, connection);
    wire_begin(&answer, WSHD_SPAWNED, sequence);
    wire_put_u32(&answer, job->id);
    wire_put_u32(&answer, (uint32_t)job->pid);
    connection_send(init, connection, &answer, fds, fd_count);
    for (size_t i = 0; i < fd_count; i++) close(fds[i]);
    /*
     * who is told wakes up first: the other way round the job has the free processor, and whoever is told
     * takes it away
     */
    close_if(start);
    if (failpoint(AT_SPAWN_TOLD) != 0) connection_end(init, connection);
    /* the connection broke in this very moment: it is too late for connection_end() to see this job */
    if (is_operator && connection->dead) {
      job->owner = NULL;
      job_hang_up(job);
    }
  }
  /* also behind a job that could not be started: nothing that was asked for before is expected any more */
  if (job != NULL && !is_operator && request.next_within != 0 && is_preparable(&request))
    prepared_expect(init, &request);
  else {
    prepared_drop(init);
    request_free(&request);
  }
}

/*
 * Not answered, unless it makes no sense: whether something is prepared changes nothing but how long the next
 * job takes.
 */
static void prepare(struct init *init, struct connection *connection, uint32_t sequence,
                    struct wire_reader *reader) {
  uint32_t milliseconds = wire_u32(reader);
  if (!reader->failed && milliseconds == 0) {
    prepared_drop(init);
    return;
  }
  struct spawn_request request = {.input_fd = -1, .program_fd = -1, .start_fd = -1};
  take_request(reader, &request);
  if (reader->failed || connection != init->daemon || request.job_id != 0 || request.input_length != 0 ||
      !is_preparable(&request)) {
    send_error(init, connection, sequence, EPROTO, "prepare");
    request_free(&request);
    return;
  }
  prepared_start(init, &request, milliseconds);
}

static void signal_request(struct init *init, struct connection *connection, uint32_t sequence,
                           struct wire_reader *reader) {
  uint32_t id = wire_u32(reader);
  int number = (int)wire_u32(reader);
  bool tree = wire_u32(reader) != 0;
  if (reader->failed || number < 0 || number > 64) {
    send_error(init, connection, sequence, reader->failed ? EPROTO : EINVAL, "signal");
    return;
  }
  if (failpoint(AT_SIGNAL) != 0) {
    send_error(init, connection, sequence, errno, "failpoint wshd.signal");
    return;
  }
  if (id == WSHD_ALL_JOBS && init->keeper != 0) {
    descendants_signal(init->proc, number);
  } else if (id == WSHD_ALL_JOBS) {
    /* from process 1: everything in the pid namespace but itself. ESRCH: nothing there, which is as good */
    kill(-1, number);
  } else {
    struct job *job = job_find(init, id);
    if (job != NULL) job_signal(init, job, number, tree);
  }
  send_ok(init, connection, sequence);
}

static void forget(struct init *init, struct connection *connection, uint32_t sequence,
                   struct wire_reader *reader) {
  struct job *job = job_find(init, wire_u32(reader));
  if (reader->failed) {
    send_error(init, connection, sequence, EPROTO, "forget");
    return;
  }
  if (failpoint(AT_FORGET) != 0) {
    send_error(init, connection, sequence, errno, "failpoint wshd.forget");
    return;
  }
  if (job != NULL && job->ended) job_forget(init, job);
  send_ok(init, connection, sequence);
}

static void end_input(struct init *init, struct connection *connection, uint32_t sequence,
                      struct wire_reader *reader) {
  struct job *job = job_find(init, wire_u32(reader));
  if (reader->failed) {
    send_error(init, connection, sequence, EPROTO, "end-input");
    return;
  }
  if (job != NULL) job_end_input(job);
  send_ok(init, connection, sequence);
}

static void resize(struct init *init, struct connection *connection, uint32_t sequence,
                   struct wire_reader *reader) {
  struct job *job = job_find(init, wire_u32(reader));
  uint16_t rows = wire_u16(reader), columns = wire_u16(reader);
  if (reader->failed) {
    send_error(init, connection, sequence, EPROTO, "resize");
    return;
  }
  if (job != NULL) job_resize(job, rows, columns);
  send_ok(init, connection, sequence);
}

static void wait_empty(struct init *init, struct connection *connection, uint32_t sequence) {
  struct waiter *waiter = failpoint(AT_WAIT_EMPTY) == 0 ? malloc(sizeof *waiter) : NULL;
  if (waiter == NULL) {
    send_error(init, connection, sequence, errno, "wait-empty");
    return;
  }
  *waiter = (struct waiter){.next = init->waiters, .connection = connection, .sequence = sequence};
  init->waiters = waiter;
  jobs_reap(init);
}

void handle_message(struct init *init, struct connection *connection, const unsigned char *bytes,
                    size_t length, bool cut, const int *fds, size_t fd_count) {
  struct wshd_header header = {0};
  if (length >= sizeof header) memcpy(&header, bytes, sizeof header);
  if (length < sizeof header || cut || header.version != WSHD_PROTOCOL_VERSION ||
      (connection->role == 0 && header.type != WSHD_HELLO)) {
    send_error(init, connection, header.sequence, EPROTO, "message");
    return;
  }
  /*
   * a daemon asks for nothing before it has read READY, the end of the hand-over, and has put away what came
   * before
   */
  if (connection->handing_over && connection->ready) {
    connection->handing_over = false;
    jobs_handed_over(init);
  }
  /* whatever this is about, only init's jobs are to be there; to forget one changes nothing inside */
  if (header.type != WSHD_SPAWN && header.type != WSHD_PREPARE && header.type != WSHD_FORGET)
    prepared_drop(init);
  struct wire_reader reader = {.at = bytes + sizeof header, .end = bytes + length};
  uint32_t value;
  switch (header.type) {
    case WSHD_HELLO:
      value = wire_u32(&reader);
      if (reader.failed || connection->role != 0 ||
          (value != WSHD_ROLE_DAEMON && value != WSHD_ROLE_OPERATOR))
        send_error(init, connection, header.sequence, EPROTO, "hello");
      else hello(init, connection, header.sequence, value);
      break;
    case WSHD_SPAWN:
      spawn(init, connection, header.sequence, &reader, fds, fd_count);
      break;
    case WSHD_SIGNAL:
      signal_request(init, connection, header.sequence, &reader);
      break;
    case WSHD_FORGET:
      forget(init, connection, header.sequence, &reader);
      break;
    case WSHD_WAIT_EMPTY:
      wait_empty(init, connection, header.sequence);
      break;
    case WSHD_END_INPUT:
      end_input(init, connection, header.sequence, &reader);
      break;
    case WSHD_RESIZE:
      resize(init, connection, header.sequence, &reader);
      break;
    case WSHD_PREPARE:
      prepare(init, connection, header.sequence, &reader);
      break;
    default:
      send_error(init, connection, header.sequence, EPROTO, "message");
  }
}
