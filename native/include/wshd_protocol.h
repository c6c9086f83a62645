/*
 * The private protocol between a container's init (wshd) and its clients: the daemon and wsh.
 *
 * Transport: AF_UNIX SOCK_SEQPACKET on <container>/run/wshd.sock, so one packet is one message and
 * descriptors travel with the message they belong to (SCM_RIGHTS). All integers are little-endian and
 * unaligned. A string or byte block is a u32 length followed by that many bytes, without a terminator.
 *
 * Every message starts with struct wshd_header. Requests carry a sequence number chosen by the client; the
 * answer (WSHD_ERROR, WSHD_OK, WSHD_WELCOME, WSHD_SPAWNED) repeats it. Events carry sequence 0.
 *
 * A request that init does not understand is answered with WSHD_ERROR (EPROTO); the connection stays open. A
 * daemon sends none that is malformed, so it takes this for the answer of an init that is older than itself:
 * what is new must not look like something old, but for hints, which an init that does not know them is not
 * sent (enum wshd_abilities). Init never exits because of a client. packages/wshd mirrors these numbers; a test
 * reads this file and compares.
 *
 *   daemon                                   init (pid 1)
 *     | HELLO role=daemon  ------------------> |   an older daemon connection is closed
 *     | <------------------------- WELCOME     |
 *     | <-- JOB, RING ... (per known job)      |   hand-over of what happened while nobody was connected
 *     | <------------------------- READY       |
 *     | SPAWN ------------------------------->  |
 *     | <------------------ SPAWNED + fds      |   answered before its EXIT
 *     | <---------------------------- EXIT     |   all output written before the end is already in the pipes
 *     | FORGET ------------------------------> |
 *
 * While a daemon is connected, only the daemon reads the pipes. While none is, init drains them into a ring
 * of WSHD_RING_BYTES per stream.
 */
#ifndef WSHD_PROTOCOL_H
#define WSHD_PROTOCOL_H

#include <stdint.h>

#define WSHD_PROTOCOL_VERSION 1
#define WSHD_MESSAGE_MAX 65536      /* bytes of one packet, either direction */
#define WSHD_STDIN_INLINE_MAX 32768 /* longer standard input travels as a sealed memfd */
#define WSHD_RING_BYTES 65536       /* latest output kept per stream while no daemon is connected */
#define WSHD_RING_CHUNK 32768       /* bytes of ring content in one WSHD_RING message */
#define WSHD_FDS_MAX 4              /* descriptors in one message */

struct wshd_header {
  uint16_t version; /* WSHD_PROTOCOL_VERSION */
  uint16_t type;    /* enum wshd_type */
  uint32_t sequence;
} __attribute__((packed));

enum wshd_type {
  /* requests */
  WSHD_HELLO = 1, /* u32 role (enum wshd_role) -> WELCOME */
  WSHD_SPAWN = 2, /* see below -> SPAWNED */
  /* u32 job_id (WSHD_ALL_JOBS: every process but init), i32 signal, u32 tree (0/1) -> OK */
  WSHD_SIGNAL = 3,
  /* u32 job_id -> OK; drops the kept status and rings of an ended job, unknown ids are fine */
  WSHD_FORGET = 4,
  WSHD_WAIT_EMPTY = 5, /* empty -> OK as soon as no process besides init is left; several may wait */
  /* u32 job_id -> OK; closes init's own end of the job's input pipe, unknown ids are fine */
  WSHD_END_INPUT = 6,
  /*
   * u32 job_id, u16 rows, u16 cols -> OK; size of the job's terminal, jobs without one and unknown ids are
   * fine
   */
  WSHD_RESIZE = 7,

  WSHD_PREPARE = 8, /* see below; not answered, unless malformed */

  /* answers */
  WSHD_ERROR = 100, /* i32 errno, string operation, string text */
  /*
   * u32 number of jobs that will be handed over, and, to a daemon of an init that is not older than this, u32
   * of what else it can do (enum wshd_abilities)
   */
  WSHD_WELCOME = 101,
  /*
   * u32 job_id, i32 pid inside; fds in order: [stdin write end if STDIN_PIPE], then the pty master (TTY;
   * twice for a daemon's job: to write and to read), or stdout read end, stderr read end; no output with
   * DISCARD
   */
  WSHD_SPAWNED = 102,
  WSHD_OK = 103, /* empty */

  /*
   * events, to the connection that owns the job (any daemon connection owns all jobs not owned by an
   * operator)
   */
  WSHD_EXIT = 201, /* u32 job_id, i32 wait status as of waitpid(2) */
  /*
   * u32 job_id, u32 ended (0/1), i32 wait status, u32 flags as at SPAWN, u64 stdout position, u64 stderr
   * position: of the ring's first byte, counting all that init itself ever read of the stream (never what a
   * daemon read), u32 stdout ring length, u32 stderr ring length, u64 stdout lost, u64 stderr lost: bytes
   * overwritten in the ring since a daemon took it; fds: [stdin write end if INPUT_OPEN], then stdout read
   * end, stderr read end, or none with DISCARD and when both are at their ends; the pty master twice (TTY),
   * or none
   */
  WSHD_JOB = 203,
  WSHD_RING = 204, /* u32 job_id, u32 stream (1 stdout, 2 stderr), u64 position of the first byte, bytes */
  /*
   * empty: hand-over complete. Rings are kept until the daemon's next request (FORGET of job 0 will do), for
   * its successor if it dies before
   */
  WSHD_READY = 205,
};

enum wshd_role { WSHD_ROLE_DAEMON = 1, WSHD_ROLE_OPERATOR = 2 };

/*
 * SPAWN: u32 job_id (operators send 0 and get one with bit 31 set), u32 flags, u16 rows, u16 cols, string
 * user (empty: root), u32 argc, argc strings (0: the user's login shell, or /bin/sh), u32 envc, envc strings
 * "NAME=value", u32 nlimits, each { u32 resource, u64 soft, u64 hard }, bytes stdin, and, if there is more,
 * string directory (empty: the user's home), and, if there is more, u32 milliseconds: at the end of the job
 * init does as for a PREPARE of the same, unless something else was asked for meanwhile.
 *
 * Init keeps an end of a daemon's job's input pipe, or of its pty, for the next daemon: only END_INPUT and
 * the job's end close it.
 *
 * Standard input is, in order of precedence: the pty (TTY); a pipe whose write end is answered (STDIN_PIPE);
 * the descriptor that came with the message (STDIN_FD); the inline bytes.
 *
 * PROGRAM_FD: the program is the last descriptor that came with the message, executed as it is; argv are only
 * its arguments. So a tool of the daemon's runs inside without a file of the root being opened, and without a
 * copy of it there.
 */
enum wshd_spawn_flags {
  WSHD_SPAWN_TTY = 1,     /* stdin, stdout, stderr are a pty of the container's own devpts */
  WSHD_SPAWN_DISCARD = 2, /* init keeps reading the pipes itself, only the ring remains */
  /* the job becomes a child subreaper: orphans stay below it, SIGNAL tree reaches them */
  WSHD_SPAWN_TREE = 4,
  WSHD_SPAWN_STDIN_PIPE = 8,
  WSHD_SPAWN_STDIN_FD = 16,
  WSHD_SPAWN_PROGRAM_FD = 32,
  /*
   * init never reads the pipes: output waits in them, and the job with it, until the daemon or the next one
   * reads
   */
  WSHD_SPAWN_LIVE = 128,
  /*
   * there is memory left in the container, as far as the daemon knows: see start.h. A hint: nothing else
   * depends on it
   */
  WSHD_SPAWN_ROOMY = 256,
  WSHD_SPAWN_INPUT_OPEN = 64, /* only in JOB: the input pipe's write end comes with it */
};

/*
 * PREPARE: u32 milliseconds, and what SPAWN has, with job_id 0, no input, and no flags but TREE, LIVE and
 * ROOMY. Asks init to start this bash now, with BASH_ENV naming a pipe that it waits for, and to keep it so
 * long. The daemon's next SPAWN that says the same but for number and inline input is that process, which has
 * undone the difference before it reads its input. Any other request but FORGET that is understood, of
 * whomever, the end of the connection, and milliseconds 0 (nothing else need follow) end it. Nothing is
 * prepared while anything runs, where others may change files inside, without a user namespace, and where it
 * has twice ended before it was asked for anything.
 */
enum wshd_abilities { WSHD_CAN_PREPARE = 1, WSHD_CAN_LEND = 2 /* ROOMY makes a difference */ };

#define WSHD_ALL_JOBS 0xffffffffu
#define WSHD_OPERATOR_JOB 0x80000000u

/*
 * The launcher's channel: an inherited SOCK_SEQPACKET descriptor named by --sync-fd N. Packets are text.
 *
 *   launcher -> daemon
 *     "cloned <pid>"                 host pid of init; init waits
 *     "log <level> <stage> <text>"   level: debug info warn error
 *     "error <stage> <errno> <exit> <object> <text>"
 *                                    failed; errno or exit status may be 0; object has its blanks as \040;
 *                                    everything is torn down
 *     "ready"                        init listens; the launcher exits 0 afterwards
 *   daemon -> launcher
 *     "prepared"                     with --early: the directory is complete
 *     "go"                           the network is attached
 *   end of file                      the other side died: the launcher kills init, init ends
 *
 * Without --sync-fd wshd is the operator's: it does not wait and reports on stderr.
 */

#endif
