/*
 * How the launcher and the child that becomes init tell what happened.
 *
 * Until init listens, a failure ends the process that met it: report_failure() says so on the report channel,
 * and the other side cleans up. Afterwards nothing in this program ends on its own account.
 */
#ifndef WSHD_REPORT_H
#define WSHD_REPORT_H

#include <stdbool.h>
#include <stddef.h>

/* Bytes that a packet takes at most, with the zero byte behind it. */
#define REPORT_MAX 4096

/* Where reports go: a SOCK_SEQPACKET descriptor, or -1 for standard error. */
void report_open(int fd);
int report_descriptor(void);

/* Sends one packet as it is. False when nobody listens any more. */
bool report_packet(const char *packet);

/*
 * `error <stage> <errno> <exit> <object> <text>`. `number` is an errno or 0, `exit_status` that of a hook or
 * 0. Answers -1 so that callers can `return report_failure(...)`.
 */
int report_failure(const char *stage, int number, int exit_status, const char *object, const char *text);

/* report_failure() with errno and its text. */
int report_errno(const char *stage, const char *object);

/*
 * The same on a descriptor of the caller's, by system calls without the C library: for the launcher, which
 * must not look at where its child reports to (launch.h).
 */
bool report_to(int fd, const char *packet);
int report_failure_to(int fd, const char *stage, int number, int exit_status, const char *object,
                      const char *text);
int report_errno_to(int fd, const char *stage, int number, const char *object);

#endif
