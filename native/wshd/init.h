/*
 * Process 1 of a container: starts jobs, reaps everything, keeps exit statuses and output for a daemon that
 * is away.
 *
 * One thread, one epoll descriptor, no call that waits, but for a tenth of a second at most before a job
 * (prepared.c), for the program of a job that nobody inside can hold up (start.h), and for the death of a
 * tree, which takes about a second where it is fought over (tree.c). Nothing a client or a job does ends it;
 * what fails is answered with WSHD_ERROR.
 */
#ifndef WSHD_INIT_H
#define WSHD_INIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "reserve.h"
#include "ring.h"
#include "wire.h"
#include "wshd_protocol.h"

#define CONNECTIONS_MAX 64
/*
 * Messages that wait for a client to read. More than this is a client that has stopped reading; it is
 * disconnected.
 */
#define QUEUE_MAX 16384
/*
 * From here on a client's requests are left in the socket until it reads: a flood of them then stops at the
 * sender.
 */
#define QUEUE_PAUSE 256
#define JOB_BUCKETS 256

/* What an epoll event is about. Always the first member. */
enum watch_kind { WATCH_LISTENER, WATCH_SIGNALS, WATCH_CONNECTION, WATCH_STREAM };
struct watch {
  enum watch_kind kind;
};

/* A message that could not be sent at once, with duplicates of its descriptors. */
struct packet {
  struct packet *next;
  size_t length, fd_count;
  int fds[WSHD_FDS_MAX];
  unsigned char bytes[];
};

struct connection {
  struct watch watch;
  struct connection *next;
  int fd;
  uint32_t role;   /* 0 before HELLO */
  uint32_t events; /* what epoll watches */
  /* a daemon that has asked for nothing since HELLO: it may not have put away all that is handed over */
  bool handing_over;
  bool ready;       /* READY was sent or waits in the queue */
  bool tries_again; /* it has room for the first in the queue, and the kernel lacked something */
  bool unread;      /* whatever is sent to it is lost: the client has gone, or reads no more */
  bool dead;        /* freed at the end of the loop's turn: events of the same turn may still name it */
  size_t queued;
  struct packet *queue, **queue_end;
};

/* Somebody waits until no process is left. */
struct waiter {
  struct waiter *next;
  struct connection *connection;
  uint32_t sequence;
};

struct job;
struct prepared;
struct spawn_request;

/* One output stream of a job, as init sees it. */
struct stream {
  struct watch watch;
  struct job *job;
  int fd; /* read end, or -1 */
  bool draining, at_end;
  struct ring ring;
  uint64_t handed_over; /* position in the ring up to which a daemon was sent it */
};

struct job {
  struct job *next, **link; /* `link`: what points here */
  struct job *next_of_id, *next_of_pid;
  uint32_t id, flags;
  pid_t pid; /* inside; 0 once reaped */
  bool ended;
  int status;               /* of waitpid(2) */
  int input;                /* write end of an open standard input, kept for the next daemon; -1: none */
  struct connection *owner; /* an operator's job ends with its connection; NULL: the daemon's */
  struct stream streams[2];
};

struct init {
  struct watch listener_watch, signals_watch;
  int listener, epoll; /* child.h */
  int signals;
  int proc, pts; /* opened while the root was still untouched */
  /*
   * insecure.h: the parent of this init, whose processes have their numbers in common with everybody; 0:
   * process 1 of a container
   */
  pid_t keeper;
  int work, pids; /* insecure: where jobs start, and where each leaves its number */
  /*
   * given up when descriptors have run out, so that a client can be turned away instead of waiting at the
   * door for ever
   */
  int spare;
  struct reserve reserve;
  struct prepared *prepared;      /* prepared.h; NULL: none */
  struct spawn_request *expected; /* to be prepared at the end of its job; NULL: nothing is */
  bool is_expected_now;           /* that job has ended */
  bool has_rested;                /* it was asked for some time after the one before it */
  int64_t expected_at;            /* not to be started before, milliseconds of CLOCK_MONOTONIC */
  int64_t job_ended;              /* when the last job did, by the same clock */
  /*
   * only what init starts changes files here, it can end all processes and no others, and a prepared one
   * waits as it should
   */
  bool may_prepare;
  bool may_lend;    /* the same, and nothing that hangs is bound in: start.h */
  bool is_dropping; /* a prepared one was ended, and may be there yet */
  unsigned futile;  /* prepared ones, in a row, that have not waited */
  bool is_empty;    /* there was no process but init when children were last collected */
  bool reap_again;
  bool has_own_users;       /* it lives in a user namespace */
  bool is_operators;        /* see options.h */
  bool no_core_dumps;       /* the limit of core files is as it is */
  const char *job_score;    /* of oom_score_adj; NULL: as it is */
  struct rlimit open_files; /* as inherited: init takes all it may have, jobs get this */
  struct connection *connections, *daemon;
  struct job *jobs, *forgotten;
  struct job *next_handed_over; /* where the hand-over to `daemon` goes on */
  struct job *jobs_by_id[JOB_BUCKETS], *jobs_by_pid[JOB_BUCKETS];
  struct waiter *waiters;
  uint32_t next_operator_job;
};

/* Opens what serving needs; everything up to here may still fail. Reports and answers -1. */
int init_prepare(struct init *init);
/* Whatever ended up to now is yet to be collected. */
void signals_clear(const struct init *init);
_Noreturn void init_serve(struct init *init);

/* messages.c: what clients ask for. */
/*
 * `cut`: the message, or the list of its descriptors, was longer than there is room for. The descriptors stay
 * the caller's.
 */
void handle_message(struct init *init, struct connection *connection, const unsigned char *bytes,
                    size_t length, bool cut, const int *fds, size_t fd_count);

/* Frees what belongs to a request, not itself. */
void request_free(struct spawn_request *request);

/* connection.c */
/* An open file of its own: giving it up makes room in this process's table and in the host's. Or -1. */
int spare_make(void);
void connection_accept(struct init *init);
void connection_event(struct init *init, struct connection *connection, uint32_t events);
/* Sends or queues; `fds` stay the caller's. A client that cannot be served any more is marked dead. */
void connection_send(struct init *init, struct connection *connection, const struct wire_writer *message,
                     const int *fds, size_t fd_count);
void connection_end(struct init *init, struct connection *connection);
/*
 * Ends it for its successor, when what it has asked for so far is done. Overwrites the message that is being
 * handled.
 */
void connection_replace(struct init *init, struct connection *connection);
/* Sends what waits because the kernel was out of something. Answers whether that is to be done again soon. */
bool connections_try_again(struct init *init);
void connections_bury(struct init *init);

/* job.c */
struct spawn_request {
  uint32_t job_id, flags, argc, envc, limit_count;
  uint16_t rows, columns;
  char user[256];
  char **argv, **environment;
  struct {
    uint32_t resource;
    uint64_t soft, hard;
  } * limits;
  const unsigned char *input;
  uint32_t input_length;
  int input_fd;    /* -1: none came */
  int program_fd;  /* -1: none came, argv[0] is looked up */
  int start_fd;    /* prepared.h: what the shell reads before its input; -1: nothing */
  char *directory; /* where the job starts; NULL or empty: at home */
  /* milliseconds within which another that says the same is expected behind this one; 0: none is */
  uint32_t next_within;
};
/*
 * Starts a job. On success `*fds` holds what the client gets (WSHD_SPAWNED), and `*start` is -1 or what the
 * job waits for (prepared.h), all to be closed after sending. On failure answers NULL, errno set,
 * `*operation` naming the call.
 */
struct job *job_spawn(struct init *init, const struct spawn_request *request, int *fds, size_t *fd_count,
                      int *start, const char **operation);
/* Takes the job out of the list at once; its memory lives to the end of the turn. */
void job_forget(struct init *init, struct job *job);
void jobs_bury(struct init *init);
/*
 * Collects ended children and tells who wants to know. With very many, some are left for the next turn
 * (`reap_again`).
 */
void jobs_reap(struct init *init);
/* Without `tree` to its process alone. */
void job_signal(struct init *init, struct job *job, int signal, bool tree);
/* Its operator has gone: as from a terminal that hangs up, to its process group. */
void job_hang_up(const struct job *job);
/* Nobody here holds the job's input open any more. Idempotent. */
void job_end_input(struct job *job);
/* Without effect on a job that has no terminal. */
void job_resize(struct job *job, uint16_t rows, uint16_t columns);
/* The daemon has gone (come): init reads the streams itself (stops reading). */
void jobs_drain(struct init *init, bool drain);
void stream_event(struct init *init, struct stream *stream);
/* Goes on with the hand-over as far as the queue allows; READY is its last message. */
void jobs_hand_over(struct init *init, struct connection *daemon);
/* The daemon has got what was handed over: its rings are no longer needed. */
void jobs_handed_over(struct init *init);
void waiters_drop(struct init *init, const struct connection *connection);

/* job_table.c */
void job_add(struct init *init, struct job *job);
struct job *job_find(struct init *init, uint32_t id);
/* The job whose process `pid` was; it has no process afterwards, and the number may be another's. */
struct job *job_take_pid(struct init *init, pid_t pid);
/* For jobs without a process. */
void job_remove(struct init *init, struct job *job);

/* tree.c */
/* Signals every descendant of this process. For an init that shares its process numbers with others. */
void descendants_signal(int proc, int signal);
/*
 * Signals `root` and every descendant; with SIGKILL none escapes by forking. `shared`: processes of others
 * are numbered like these.
 */
void tree_signal(int proc, pid_t root, int signal, bool shared);

/* execute.c: the job's own side of the fork. Never returns. `in`, `out`, `err` become 0, 1, 2. */
#define EXECUTE_FAILED 255 /* spec linux-container.md 11: whatever goes wrong before the program runs */
/*
 * Set this process's limits, or end it: that of processes last of all, the others while there are rights to
 * raise them.
 */
void execute_limit(const struct init *init, const struct spawn_request *request);
void execute_limit_processes(const struct spawn_request *request);
_Noreturn void execute(const struct init *init, const struct spawn_request *request, int in, int out,
                       int err);

#endif
