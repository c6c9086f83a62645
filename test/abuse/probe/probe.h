/*
 * A probe that attempts what code in a container must not be able to do, and prints one line per case: `name
 * result errno`.
 *
 *   open          it works: whether that is allowed is for the reader to say
 *   refused E     it failed with that errno
 *   absent E      there is nothing to attack (no such file, device or family)
 *   killed SIG    the kernel ended the process that tried (SIGSYS: the filter of system calls)
 *   timeout       it was still trying when its time was up: for connections, nobody answered
 *   inconclusive  the case could not be tried, or a race never hit its window
 *
 * After an `open` the errno column says what was seen, if that helps. `-` stands for nothing.
 */
#ifndef ABUSE_PROBE_H
#define ABUSE_PROBE_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* What the suite tells about the outside. Empty strings where it tells nothing. */
struct given {
  const char *sentinel; /* a file of the host that nobody inside may see */
  /* an abstract unix socket on which somebody in the host's network namespace listens */
  const char *abstract;
  const char *only;  /* run only cases whose name begins so */
  const char *reach; /* name=address:port[,...], where somebody listens outside */
  bool list;
  bool brief;
};
extern struct given given;

/*
 * Answers 0 or more when it worked, -1 with errno when not. It runs in a process of its own, which may be
 * ended at any time.
 */
typedef int attempt_function(const void *argument);

/* Tries one case and prints its line. The name is formatted. */
void attempt(attempt_function *run, const void *argument, const char *name, ...)
    __attribute__((format(printf, 3, 4)));
/*
 * The same for a case that waits for others (connections): it runs beside its likes until attempts_settle().
 */
void attempt_beside(attempt_function *run, const void *argument, const char *name, ...)
    __attribute__((format(printf, 3, 4)));
void attempts_settle(void);

/* Inside a case: what to print behind an `open`. */
void saw(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Inside a case: why it says nothing; answers what the case is to return. */
int inconclusive(const char *why);

/*
 * A system call without the C library: nothing is touched but registers, so that vfork(2) can be tried as
 * well. Sets errno.
 */
long raw_call(long number, long a, long b, long c, long d, long e, long f);

/* The start of a file, always terminated. Answers the length, or -1. */
ssize_t read_start(const char *path, char *text, size_t size);
/* The number after `name` in /proc/PID/status, hexadecimal if `base` is 16. */
bool status_number(const char *pid, const char *name, int base, uint64_t *value);
/* A descriptor of the null device is a mask of what should be there: closed, and EACCES. */
int unless_null(int fd);
/* Whether the sentinel of the host can be seen from directory `fd`. */
bool sees_host(int fd);

void try_capabilities(void);
void try_devices(void);
void try_files(void);
void try_foreign_calls(void);
void try_kernel(void);
void try_limits(void);
void try_mounts(void);
void try_namespaces(void);
void try_network(void);
void try_processes(void);
void try_proc(void);
void try_proc_writes(void);
void try_sockets(void);
void try_sweep(void);
void try_terminals(void);

/* Modes of their own: see races.c, storms.c, listen.c and canary.c. They answer the exit status. */
int race_main(int argc, char **argv);
int storm_main(int argc, char **argv);
int listen_main(const char *port);
bool canary_main(const char *name, int *argc, char ***argv);

#endif
