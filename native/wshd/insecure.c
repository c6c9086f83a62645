#include "insecure.h"

#include "descriptor.h"
#include "format.h"
#include "report.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* How long killed processes get before the next look at who is left. */
#define PAUSE_NS 5000000

extern char **environ;

static void block_signals(sigset_t *set) {
  sigemptyset(set);
  sigaddset(set, SIGCHLD);
  sigaddset(set, SIGTERM);
  sigprocmask(SIG_BLOCK, set, NULL);
}

/*
 * Kills all that descends from this process and ends with it. Every orphan becomes our child: without a child
 * there is nobody left.
 */
_Noreturn static void end_all(int proc) {
  sigset_t children;
  sigemptyset(&children);
  sigaddset(&children, SIGCHLD);
  for (;;) {
    descendants_signal(proc, SIGKILL);
    pid_t pid;
    do pid = waitpid(-1, NULL, WNOHANG);
    while (pid > 0);
    if (pid < 0 && errno == ECHILD) _exit(0);
    sigtimedwait(&children, NULL, &(struct timespec){.tv_nsec = PAUSE_NS});
  }
}

void insecure_check_keeper(const struct init *init) {
  if (getppid() != init->keeper) end_all(init->proc);
}

_Noreturn static void keep(pid_t init, int proc, const sigset_t *signals) {
  for (bool over = false; !over;) {
    over = sigwaitinfo(signals, NULL) == SIGTERM;
    for (pid_t pid; (pid = waitpid(-1, NULL, WNOHANG)) > 0;) over = over || pid == init;
  }
  end_all(proc);
}

static int prepare(struct child *child, struct init *init, int *proc) {
  if (setsid() < 0 || prctl(PR_SET_CHILD_SUBREAPER, 1) != 0) return report_errno("session", "keeper");
  child_set_title(child);
  child_clear_environment();
  child->epoll = epoll_create1(EPOLL_CLOEXEC);
  if (child->epoll < 0) return report_errno("init", "epoll");
  if (child_null_streams() != 0 || child_keep_only(child) != 0) return -1;
  *init = (struct init){.listener = child->listener,
                        .epoll = child->epoll,
                        .keeper = getpid(),
                        .is_operators = child->options->sync_fd < 0,
                        .reserve = child->reserve};
  init->work = open_path("root", O_PATH | O_DIRECTORY);
  init->pids = open_path("pids", O_PATH | O_DIRECTORY);
  if (init->work < 0 || init->pids < 0) return report_errno("directory", init->work < 0 ? "root" : "pids");
  if (chdir("/") != 0) return report_errno("directory", "/");
  *proc = open_path("/proc", O_RDONLY | O_DIRECTORY);
  if (*proc < 0) return report_errno("directory", "/proc");
  /* the kernel remembers who listens: that is the pid a client is told (SO_PEERCRED) */
  if (listen(child->listener, CHILD_BACKLOG) != 0) return report_errno("listen", "run/wshd.sock");
  return 0;
}

static int serve(const struct child *child, struct init *init) {
  prctl(PR_SET_PDEATHSIG, SIGTERM); /* blocked: it waits for the loop that looks who the parent is */
  if (getppid() != init->keeper) return 1;
  if (setsid() < 0 || prctl(PR_SET_CHILD_SUBREAPER, 1) != 0) {
    report_errno("session", "init");
    return 1;
  }
  if (init_prepare(init) != 0) return 1;
  if (!report_packet("ready") || child_await(child->channel, "ok") != 0) return 1;
  close(child->channel);
  report_open(-1);
  init_serve(init);
}

int insecure_main(struct child *child) {
  report_open(child->channel);
  /* a launcher that dies before there is init; later init sees the end of its channel */
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (child_await(child->channel, "go") != 0) return 1;
  sigset_t signals;
  block_signals(&signals);
  prctl(PR_SET_PDEATHSIG, 0);
  umask(022);
  struct init init;
  int proc = -1;
  if (prepare(child, &init, &proc) != 0) return 1;
  pid_t pid = _Fork();
  if (pid < 0) {
    report_errno("fork", "init");
    return 1;
  }
  if (pid == 0) {
    close(proc);
    _exit(serve(child, &init));
  }
  /* without init nobody shall be able to connect, and the launcher is to see the end of its reports */
  const int given_away[] = {child->listener, child->channel, child->epoll, init.work, init.pids};
  for (size_t i = 0; i < sizeof given_away / sizeof *given_away; i++) close(given_away[i]);
  report_open(-1);
  keep(pid, proc, &signals);
}

_Noreturn static void fail(const char *what, const char *object) {
  complain("%s: %s: %s\n", what, object, strerror(errno));
  _exit(EXECUTE_FAILED);
}

void insecure_execute(const struct init *init, const struct spawn_request *request) {
  static char *nothing[] = {NULL};
  static char *shell[] = {(char *)"/bin/sh", NULL};
  char name[16];
  /*
   * who looks into pids/ learns what has been started here; nobody signals these numbers, which may be
   * somebody else's by then
   */
  format(name, sizeof name, "%d", getpid());
  int fd = openat(init->pids, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0) fail("pids", name);
  if (fchdir(init->work) != 0) fail("chdir", "root");
  /* there is no root of its own: what is absolute begins at the working directory */
  const char *directory =
      request->directory == NULL ? "" : request->directory + strspn(request->directory, "/");
  if (directory[0] != '\0' && chdir(directory) != 0) fail("chdir", directory);
  execute_limit(init, request);
  execute_limit_processes(request);
  environ = request->envc == 0 ? nothing : request->environment;
  char **argv = request->argc == 0 ? shell : request->argv;
  if (syscall(SYS_close_range, 3u, ~0u, 0u) != 0) fail("close_range", "descriptors");
  execvp(argv[0], argv);
  fail("execvpe", argv[0]);
}
