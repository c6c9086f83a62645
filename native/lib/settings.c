/*
 * Settings of the kernel's that are about all links of a network namespace. It writes them under its lock
 * around all links, which it does not wait for: where somebody else has it, the system call begins again, at
 * once and without an end (`restart_syscall` in net/ipv6/addrconf.c), so that a thread keeps a processor busy
 * for as long as others do what it waits for, which may be on the same processor. A write by asynchronous I/O
 * is done while it is submitted, but cannot begin again and is answered with EINTR instead (`aio_rw_done` in
 * fs/aio.c), so that there is something to rest behind.
 */
#include "warden_native.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/*
 * The lock is mostly held for some tens of microseconds, and for milliseconds by who waits for RCU with it.
 */
#define FIRST_REST_NS 50000L
#define LONGEST_REST_NS 1000000L
/* Then it is left to the kernel: some seconds. */
#define MOST_TRIES 4000

static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;
static aio_context_t context; /* 0: none yet. Its end would wait for RCU, so that it stays. */

/*
 * Answers how many bytes were written or -errno; -ENOSYS: this kernel, or who watches over its calls, has no
 * such way.
 */
static int64_t write_once(int fd, const void *value, uint32_t size) {
  struct iocb block = {.aio_lio_opcode = IOCB_CMD_PWRITE,
                       .aio_fildes = (uint32_t)fd,
                       .aio_buf = (uintptr_t)value,
                       .aio_nbytes = size};
  struct iocb *blocks[] = {&block};
  struct io_event event;
  if (context == 0 && syscall(SYS_io_setup, 1, &context) != 0) return -ENOSYS;
  if (syscall(SYS_io_submit, context, 1, blocks) != 1) return -ENOSYS;
  while (syscall(SYS_io_getevents, context, 1, 1, &event, NULL) != 1)
    if (errno != EINTR) return -EIO;
  return event.res;
}

int warden_write_setting(const char *path, const void *value, uint32_t size) {
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return -errno;
  struct timespec rest = {.tv_nsec = FIRST_REST_NS};
  int64_t written = -EINTR;
  for (int tries = 0; written == -EINTR && tries < MOST_TRIES; tries++) {
    if (tries > 0) {
      nanosleep(&rest, NULL);
      rest.tv_nsec = rest.tv_nsec * 2 < LONGEST_REST_NS ? rest.tv_nsec * 2 : LONGEST_REST_NS;
    }
    pthread_mutex_lock(&turn);
    written = write_once(fd, value, size);
    pthread_mutex_unlock(&turn);
  }
  if (written == -EINTR || written == -ENOSYS) written = warden_write(fd, value, size);
  close(fd);
  if (written < 0) return (int)written;
  return written == size ? 0 : -EIO;
}
