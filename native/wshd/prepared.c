#include "prepared.h"

#include "clock.h"
#include "descriptor.h"
#include "start.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Nobody keeps one longer, whatever is asked for. */
#define PREPARED_MILLISECONDS_MAX 60000
/*
 * Longest wait for the end of one that is not to be seen by the next job: a killed shell takes a millisecond.
 */
#define END_MILLISECONDS 100
/*
 * Longest wait for one that is still starting: it would take as long without this, and one that has not come
 * so far by then is no bash. On a busy machine whose page faults are slow a bash takes a few times 10 ms.
 */
#define READY_MILLISECONDS 100
/*
 * Whoever asks again only after so long does not need the next one at once, and could be kept waiting by its
 * start: the kernel tends to wake the client on the very processor on which init starts it. So that comes
 * when the client has its answer.
 */
#define REST_MILLISECONDS 5
#define ANSWERED_MILLISECONDS 3
/* So many in a row that have not waited as they should are enough. */
#define FUTILE_MAX 2

/*
 * What bash reads when it starts, and executes when the pipe is closed, which is when the script is there.
 * Afterwards the script finds no variable and no descriptor; SECONDS counts from here, and the last argument
 * is what it is at the beginning. What tells still: one status in PIPESTATUS where there is none otherwise,
 * BASH_ARGC, which counts the file, and /proc/<pid>/environ.
 */
#define PRELUDE "unset BASH_ENV; exec 3<&-; SECONDS=0; : \"$0\"\n"
/*
 * bash looks for its user's shell wherever the system does, a twentieth of its start, unless it has SHELL:
 * which it is given then, and has as a variable of its own afterwards, as if it had found it. Who has named
 * one in the request has that.
 */
static const char OWN_SHELL[] = PRELUDE, FOUND_SHELL[] = "export -n SHELL; " PRELUDE;

struct prepared {
  pid_t pid;
  int script; /* its standard input, empty as yet */
  int start;  /* it waits until this is closed */
  struct ends ends;
  int64_t until; /* milliseconds of CLOCK_MONOTONIC */
  struct spawn_request request;
};

static int64_t deadline(uint32_t milliseconds) {
  return monotonic_ms() +
         (milliseconds < PREPARED_MILLISECONDS_MAX ? milliseconds : PREPARED_MILLISECONDS_MAX);
}

static bool same_words(char *const *one, char *const *other, uint32_t count) {
  for (uint32_t i = 0; i < count; i++)
    if (strcmp(one[i], other[i]) != 0) return false;
  return true;
}

/* Whether both say the same but for number and input. */
static bool is_same(const struct spawn_request *one, const struct spawn_request *other) {
  const char *here = one->directory == NULL ? "" : one->directory,
             *there = other->directory == NULL ? "" : other->directory;
  if (((one->flags ^ other->flags) & ~(uint32_t)WSHD_SPAWN_ROOMY) != 0 || one->argc != other->argc ||
      one->envc != other->envc || one->limit_count != other->limit_count)
    return false;
  if (strcmp(one->user, other->user) != 0 || strcmp(here, there) != 0) return false;
  for (uint32_t i = 0; i < one->limit_count; i++)
    if (one->limits[i].resource != other->limits[i].resource ||
        one->limits[i].soft != other->limits[i].soft || one->limits[i].hard != other->limits[i].hard)
      return false;
  return same_words(one->argv, other->argv, one->argc) &&
         same_words(one->environment, other->environment, one->envc);
}

/* What is here of it goes; the process does not. */
static void forget(struct init *init) {
  struct prepared *prepared = init->prepared;
  init->prepared = NULL;
  close_if(prepared->script);
  close_if(prepared->start);
  ends_close(&prepared->ends);
  request_free(&prepared->request);
  free(prepared);
}

static void forget_expected(struct init *init) {
  init->is_expected_now = false;
  if (init->expected == NULL) return;
  request_free(init->expected);
  free(init->expected);
  init->expected = NULL;
}

static bool names_shell(const struct spawn_request *request) {
  for (uint32_t i = 0; i < request->envc; i++)
    if (strncmp(request->environment[i], "SHELL=", 6) == 0) return true;
  return false;
}

/* The child's end of the pipe is in `start_fd` of its request. */
static int open_ends(const struct init *init, struct prepared *prepared) {
  int pair[2];
  const char *prelude = names_shell(&prepared->request) ? OWN_SHELL : FOUND_SHELL;
  const size_t length = strlen(prelude);
  if ((prepared->script = input_make()) < 0) return -1;
  if ((prepared->ends.job[0] = duplicate(prepared->script, 0)) < 0) return -1;
  if (pipe2(pair, O_CLOEXEC) != 0) return -1;
  prepared->request.start_fd = pair[0];
  prepared->start = pair[1];
  /* of one page: there is room in it when all of it has been read, see is_waiting() */
  if (fcntl(pair[1], F_SETPIPE_SZ, 1) < 0 || write(pair[1], prelude, length) != (ssize_t)length) return -1;
  return ends_open_output(&prepared->request, &prepared->ends) == 0 ? ends_leave_enough(init, &prepared->ends)
                                                                    : -1;
}

static void start(struct init *init, struct spawn_request *request, uint32_t milliseconds) {
  struct prepared *prepared = malloc(sizeof *prepared);
  if (prepared == NULL) {
    request_free(request);
    return;
  }
  *prepared = (struct prepared){
      .ends = ENDS_NONE, .script = -1, .start = -1, .until = deadline(milliseconds), .request = *request};
  init->prepared = prepared;
  prepared->pid =
      open_ends(init, prepared) == 0 ? start_process(init, &prepared->request, prepared->ends.job) : -1;
  close_if(prepared->request.start_fd);
  prepared->request.start_fd = -1;
  if (prepared->pid < 0) forget(init);
  else ends_close_job(&prepared->ends);
}

void prepared_start(struct init *init, struct spawn_request *request, uint32_t milliseconds) {
  forget_expected(init);
  if (init->prepared != NULL && is_same(&init->prepared->request, request))
    init->prepared->until = deadline(milliseconds);
  else prepared_drop(init);
  /*
   * what has ended is no reason against it, and a prepared one that has is none any more; and the daemon may
   * have been found to be gone
   */
  jobs_reap(init);
  /*
   * processes that somebody has left behind would see it, and could be seen by it while nobody runs anything
   */
  if (init->may_prepare && init->is_empty && init->daemon != NULL && init->prepared == NULL)
    start(init, request, milliseconds);
  else request_free(request);
}

void prepared_asked(struct init *init) {
  init->has_rested = monotonic_ms() - init->job_ended >= REST_MILLISECONDS;
}

void prepared_expect(struct init *init, struct spawn_request *request) {
  forget_expected(init);
  if (init->may_prepare && (init->expected = malloc(sizeof *init->expected)) != NULL)
    *init->expected = *request;
  else request_free(request);
}

void prepared_behind(struct init *init, uint32_t job_id) {
  init->job_ended = monotonic_ms();
  if (init->expected == NULL || init->expected->job_id != job_id) return;
  init->is_expected_now = true;
  init->expected_at = init->has_rested ? init->job_ended + ANSWERED_MILLISECONDS : 0;
}

void prepared_start_expected(struct init *init) {
  struct spawn_request *request = init->expected;
  if (request == NULL || !init->is_expected_now) return;
  if (!init->is_empty || init->daemon == NULL) {
    forget_expected(init);
    return;
  }
  const int64_t time = monotonic_ms(), left = init->job_ended + request->next_within - time;
  if (init->expected_at > time) return;
  if (left <= 0) { /* the container stood still meanwhile */
    forget_expected(init);
    return;
  }
  init->expected = NULL;
  init->is_expected_now = false;
  start(init, request, (uint32_t)left);
  free(request);
}

/* Whoever waits there could have written into its own input. */
static int put_script(const struct prepared *prepared, const struct spawn_request *request) {
  if (ftruncate(prepared->script, (off_t)request->input_length) != 0) return -1;
  return input_put(prepared->script, request->input, request->input_length);
}

/*
 * It has read what it was to read first, and so will read its input only when the pipe is closed. A shell
 * that does not know BASH_ENV may have read that already.
 */
static bool is_waiting(const struct prepared *prepared) {
  struct pollfd end = {.fd = prepared->start, .events = POLLOUT};
  return poll(&end, 1, READY_MILLISECONDS) == 1 && (end.revents & POLLERR) == 0;
}

static void count_futile(struct init *init) {
  if (++init->futile == FUTILE_MAX) init->may_prepare = false;
}

/* The next job is not to see what was ended for it. What somebody else has left is no reason to wait. */
static void await_end(struct init *init) {
  const int64_t until = monotonic_ms() + END_MILLISECONDS;
  for (int64_t left = END_MILLISECONDS; init->is_dropping && left > 0; left = until - monotonic_ms()) {
    jobs_reap(init);
    if (init->is_empty) return;
    if (init->reap_again) continue;
    struct pollfd ends = {.fd = init->signals, .events = POLLIN};
    poll(&ends, 1, (int)left);
    signals_clear(init);
  }
  jobs_reap(init); /* whose signal the last turn has cleared */
  init->is_dropping = false;
}

pid_t prepared_take(struct init *init, const struct spawn_request *request, struct ends *ends) {
  struct prepared *prepared = init->prepared;
  const bool is_meant =
      prepared != NULL && (request->job_id & WSHD_OPERATOR_JOB) == 0 && is_same(&prepared->request, request);
  if (!is_meant || !is_waiting(prepared) || put_script(prepared, request) != 0) {
    if (is_meant) count_futile(init);
    prepared_drop(init);
    await_end(init);
    return 0;
  }
  init->futile = 0;
  const pid_t pid = prepared->pid;
  *ends = prepared->ends;
  ends->start = prepared->start;
  prepared->start = -1;
  prepared->ends = (struct ends)ENDS_NONE;
  forget(init);
  return pid;
}

/* Nobody else is there: else there would be none, and every job ends it before it starts. */
static void end_all(struct init *init) {
  init->is_dropping = true;
  kill(-1, SIGKILL);
}

void prepared_drop(struct init *init) {
  forget_expected(init);
  if (init->prepared == NULL) return;
  forget(init);
  end_all(init);
}

void prepared_ended(struct init *init, pid_t pid) {
  if (init->prepared == NULL || init->prepared->pid != pid) return;
  forget(init);
  end_all(init); /* what it has started */
  count_futile(init);
}

int prepared_expire(struct init *init) {
  if (init->is_expected_now) {
    const int64_t wait = init->expected_at - monotonic_ms();
    if (wait > 0) return (int)wait;
    prepared_start_expected(init);
  }
  if (init->prepared == NULL) return -1;
  const int64_t left = init->prepared->until - monotonic_ms();
  if (left > 0) return (int)left;
  prepared_drop(init);
  return -1;
}
