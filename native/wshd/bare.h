/*
 * System calls without the C library, for a process whose memory another one uses as well. The library keeps
 * errno, and whether a thread is to be cancelled, at one place for both: what one of them notes there the
 * other one would take for its own. Here the answer says it all: what the kernel gives, or a negative errno.
 */
#ifndef WSHD_BARE_H
#define WSHD_BARE_H

#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/types.h>

static inline long bare_call(long number, long a, long b, long c, long d, long e, long f) {
#if defined __x86_64__ && defined __LP64__
  register long r10 __asm__("r10") = d;
  register long r8 __asm__("r8") = e;
  register long r9 __asm__("r9") = f;
  long answer;
  __asm__ volatile("syscall"
                   : "=a"(answer)
                   : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                   : "rcx", "r11", "memory");
  return answer;
#elif defined __aarch64__
  register long x8 __asm__("x8") = number;
  register long x0 __asm__("x0") = a;
  register long x1 __asm__("x1") = b;
  register long x2 __asm__("x2") = c;
  register long x3 __asm__("x3") = d;
  register long x4 __asm__("x4") = e;
  register long x5 __asm__("x5") = f;
  __asm__ volatile("svc 0"
                   : "+r"(x0)
                   : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
                   : "memory", "cc");
  return x0;
#else
#error "no system calls without the C library for this machine yet"
#endif
}

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
