#include "reserve.h"

#include <errno.h>
#include <unistd.h>

/* A process with one thread that moves itself waits for nobody. */
static bool step(int group) { return write(group, "0", 1) == 1; }

pid_t reserve_fork(struct reserve *reserve) {
  /* fork(2) without the care for threads, of which there are none */
  pid_t pid = reserve->is_out ? -1 : _Fork();
  if (pid >= 0 || reserve->outside < 0 || (!reserve->is_out && errno != EAGAIN)) return pid;
  if (!reserve->is_out && !step(reserve->outside)) {
    errno = EAGAIN; /* what the fork said */
    return -1;
  }
  pid = _Fork();
  /* a job outside would be a job without a limit */
  if (pid == 0 && !step(reserve->inside)) _exit(255);
  if (pid == 0) return 0;
  const int saved = errno;
  reserve->is_out = !step(reserve->inside);
  errno = saved;
  return pid;
}
