/*
 * System calls without the C library, for a process whose memory another one uses as well. The library keeps
 * errno, and whether a thread is to be cancelled, at one place for both: what one of them notes there the
 * other one would take for its own. Here the answer says it all: what the kernel gives, or a negative errno.
 */
#ifndef WSHD_BARE_H
#define WSHD_BARE_H

#include "bare_call.h"

#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/types.h>

static inline void bare_close(int fd) { bare_call(SYS_close, fd, 0, 0, 0, 0, 0); }

/* One packet on a socket; a broken connection is an answer, and no signal. */
static inline long bare_send(int fd, const void *packet, size_t length) {
  long sent;
  do sent = bare_call(SYS_sendto, fd, (long)packet, (long)length, MSG_NOSIGNAL, 0, 0);
  while (sent == -EINTR);
  return sent;
}

/* `flags` as of recv(2). */
static inline long bare_receive(int fd, void *packet, size_t room, int flags) {
  long got;
  do got = bare_call(SYS_recvfrom, fd, (long)packet, (long)room, flags, 0, 0);
  while (got == -EINTR);
  return got;
}

/* Waits as long as it takes. */
static inline long bare_poll(struct pollfd *wait, unsigned count) {
  long ready;
  do ready = bare_call(SYS_ppoll, (long)wait, (long)count, 0, 0, 0, 0);
  while (ready == -EINTR);
  return ready;
}

static inline long bare_kill(pid_t pid, int signal) { return bare_call(SYS_kill, pid, signal, 0, 0, 0, 0); }

/* Collects a child, whenever it ends. */
static inline void bare_collect(pid_t pid) {
  while (bare_call(SYS_wait4, pid, 0, 0, 0, 0, 0) == -EINTR) continue;
}

#endif
