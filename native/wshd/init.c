#include "init.h"

#include "descriptor.h"
#include "insecure.h"
#include "prepared.h"
#include "report.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define EVENTS 64
/* Until what the kernel was out of is asked for again. */
#define AGAIN_MILLISECONDS 10

static int watch(int epoll, int fd, struct watch *what) {
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = what};
  return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

int init_prepare(struct init *init) {
  sigset_t children;
  /* what is ignored stays so for every job; 9 and 19 refuse, which is fine */
  if (init->is_operators)
    for (int number = 1; number <= 64; number++) signal(number, SIG_DFL);
  sigemptyset(&children);
  sigaddset(&children, SIGCHLD);
  if (init->keeper != 0) sigaddset(&children, SIGTERM); /* its end */
  sigprocmask(SIG_BLOCK, &children, NULL);
  signal(SIGPIPE, SIG_IGN);
  /* an ended job's pipes stay open until the daemon forgets it, so many may be open at a time */
  if (prlimit(0, RLIMIT_NOFILE, NULL, &init->open_files) != 0) return report_errno("init", "RLIMIT_NOFILE");
  struct rlimit open_files = {.rlim_cur = init->open_files.rlim_max, .rlim_max = init->open_files.rlim_max};
  if (prlimit(0, RLIMIT_NOFILE, &open_files, NULL) != 0) return report_errno("init", "RLIMIT_NOFILE");
  /* in a user namespace of its own it may not signal whom the host has sent in */
  init->may_prepare = init->may_prepare && init->keeper == 0 && init->has_own_users;
  init->may_lend = init->may_prepare;
  init->listener_watch.kind = WATCH_LISTENER;
  init->signals_watch.kind = WATCH_SIGNALS;
  init->signals = signalfd(-1, &children, SFD_CLOEXEC | SFD_NONBLOCK);
  init->proc = open_path("/proc", O_RDONLY | O_DIRECTORY);
  /*
   * a job with root's rights may later put something else at this path. The host's own may be closed to all
   * but root there, but not in /dev
   */
  const char *pts = init->keeper != 0 ? "/dev" : "/dev/pts";
  init->pts = open_path(pts, O_PATH | O_DIRECTORY);
  init->spare = spare_make();
  if (init->signals < 0) return report_errno("init", "signalfd");
  if (init->proc < 0) return report_errno("init", "/proc");
  if (init->pts < 0) return report_errno("init", pts);
  if (watch(init->epoll, init->listener, &init->listener_watch) != 0 ||
      watch(init->epoll, init->signals, &init->signals_watch) != 0)
    return report_errno("init", "epoll");
  return 0;
}

void signals_clear(const struct init *init) {
  /* each of these signals is pending twice at most: at this process, and at its only thread */
  struct signalfd_siginfo info[4];
  (void)!read(init->signals, info, sizeof info);
}

static void dispatch(struct init *init, const struct epoll_event *event) {
  struct watch *what = event->data.ptr;
  switch (what->kind) {
    case WATCH_LISTENER:
      connection_accept(init);
      break;
    case WATCH_SIGNALS:
      /* one signal may stand for many children: it is cleared first, so that none that ends now is missed */
      signals_clear(init);
      if (init->keeper != 0) insecure_check_keeper(init);
      jobs_reap(init);
      break;
    case WATCH_CONNECTION:
      connection_event(init, (struct connection *)what, event->events);
      break;
    case WATCH_STREAM:
      stream_event(init, (struct stream *)what);
      break;
  }
}

_Noreturn void init_serve(struct init *init) {
  struct epoll_event events[EVENTS];
  for (;;) {
    const bool again = connections_try_again(init);
    int wait = prepared_expire(init);
    if (again && (wait < 0 || wait > AGAIN_MILLISECONDS)) wait = AGAIN_MILLISECONDS;
    int count = epoll_wait(init->epoll, events, EVENTS, init->reap_again ? 0 : wait);
    for (int i = 0; i < count; i++) dispatch(init, &events[i]);
    if (init->reap_again) jobs_reap(init);
    /* events of this turn could still name what ended in it */
    connections_bury(init);
    jobs_bury(init);
  }
}
