#include "launch.h"

#include "bare.h"
#include "failpoint.h"
#include "format.h"
#include "hooks.h"
#include "identity.h"
#include "insecure.h"
#include "report.h"

#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * The user namespace is not among them: the child enters it last, so that these belong to the host
 * (identity.h).
 */
#define NAMESPACES (CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWIPC)

/*
 * For the child and for init, as long as the container lives. They take 42 KiB at most, by the compiler's
 * account (-fstack-usage): one of two buffers of 32 KiB (start.c, job.c), and what calls it. Nothing calls
 * itself as often as somebody else says. Below it is a page that nobody may touch.
 */
#define STACK_BYTES ((size_t)256 * 1024)
#define GUARD_BYTES ((size_t)64 * 1024) /* a page, however large they are */

struct birth {
  const struct options *options;
  struct child *child;
  int launchers_end;
};

static int be_born(void *what) {
  const struct birth *birth = what;
  close(birth->launchers_end);
  if (birth->options->sync_fd >= 0) close(birth->options->sync_fd);
  _exit(birth->options->insecure ? insecure_main(birth->child) : child_main(birth->child));
}

static bool may_lend(const struct options *options) {
#ifdef __SANITIZE_ADDRESS__
  (void)options;
  return false;
#else
  return !options->insecure && options->sync_fd >= 0 && !hook_exists(options->lib, HOOK_AFTER_CLONE);
#endif
}

static pid_t lend(struct birth *birth, int namespaces) {
  char *memory =
      mmap(NULL, GUARD_BYTES + STACK_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
  if (memory == MAP_FAILED) return -1;
  if (mprotect(memory + GUARD_BYTES, STACK_BYTES, PROT_READ | PROT_WRITE) != 0) return -1;
  return clone(be_born, memory + GUARD_BYTES + STACK_BYTES, namespaces | CLONE_VM | SIGCHLD, birth);
}

/*
 * As fork(2), with namespaces. The C library's own record of the process id is not used anywhere here. A
 * network namespace that is there is inherited and not entered by the child: once the daemon knows the
 * child's number, it puts the link where the child is. This process is in it then.
 */
static pid_t clone_child(struct birth *birth, const struct network *network, bool is_lent) {
  const bool is_made = network->own >= 0;
  const int namespaces = is_made ? NAMESPACES & ~CLONE_NEWNET : NAMESPACES;
  if (is_made && setns(network->own, CLONE_NEWNET) != 0) return -1;
  if (is_lent) return lend(birth, namespaces);
  const unsigned long flags = (unsigned long)(namespaces | SIGCHLD);
  const pid_t pid =
      birth->options->insecure ? _Fork() : (pid_t)syscall(SYS_clone, flags, NULL, NULL, NULL, NULL);
  if (pid == 0) be_born(birth);
  return pid;
}

/* What follows the clone touches nothing that the child does: launch.h says why. */

static int pass(const struct options *options, enum failpoint at) {
  return failpoint(at) == 0 ? 0 : report_errno_to(options->sync_fd, "failpoint", EIO, failpoint_name(at));
}

/* For the hook, which is to run in the host's; without one the namespace goes with this process. */
static int leave_network(const struct options *options, const struct network *network) {
  if (network->hosts < 0) return 0;
  const long left = bare_call(SYS_setns, network->hosts, CLONE_NEWNET, 0, 0, 0, 0);
  return left == 0 ? 0 : report_errno_to(options->sync_fd, "launch", (int)-left, "network namespace");
}

/* A keeper that is killed outright would leave its init to itself. */
static void kill_child(const struct options *options, pid_t pid) {
  bare_kill(pid, options->insecure ? SIGTERM : SIGKILL);
  bare_collect(pid);
}

int launch_await(const struct options *options, const char *expected) {
  char word[16];
  if (options->sync_fd < 0) return 0;
  const long got = bare_receive(options->sync_fd, word, sizeof word, 0);
  return got == (long)strlen(expected) && memcmp(word, expected, (size_t)got) == 0 ? 0 : -1;
}

static int child_died(const struct options *options, pid_t pid) {
  siginfo_t info = {0};
  char text[128];
  /* left for kill_child() to collect: after that the number may be another process's */
  while (bare_call(SYS_waitid, P_PID, pid, (long)&info, WEXITED | WNOWAIT, 0, 0) == -EINTR) continue;
  format(text, sizeof text,
         info.si_code == CLD_EXITED ? "init ended with status %d" : "init was killed by signal %d",
         info.si_status);
  return report_failure_to(options->sync_fd, "init", ECHILD, 0, "init", text);
}

/* Passes the child's reports on until it is ready. */
static int relay(const struct options *options, int channel, pid_t pid) {
  bool failed = false;
  for (;;) {
    struct pollfd wait[2] = {{.fd = channel, .events = POLLIN}, {.fd = options->sync_fd, .events = POLLIN}};
    const long ready = bare_poll(wait, 2);
    if (ready < 0) return report_errno_to(options->sync_fd, "relay", (int)-ready, "init");
    if (wait[1].revents != 0) return -1; /* the daemon has nothing more to say, so this is its end */
    if (wait[0].revents == 0) continue;
    char packet[REPORT_MAX];
    const long got = bare_receive(channel, packet, sizeof packet - 1, MSG_DONTWAIT);
    if (got == -EAGAIN) continue;
    if (got <= 0) return failed ? -1 : child_died(options, pid);
    packet[got] = '\0';
    if (strcmp(packet, "ready") == 0) {
      if (pass(options, AT_READY) != 0) return -1;
      if (options->sync_fd >= 0 && !report_to(options->sync_fd, packet)) return -1;
      if (pass(options, AT_READY_TOLD) != 0) return -1;
      return bare_send(channel, "ok", 2) == 2 ? 0 : child_died(options, pid);
    }
    failed = failed || strncmp(packet, "error ", 6) == 0;
    report_to(options->sync_fd, packet);
  }
}

/* Only where the child was forked. */
static int run_hook(const struct options *options, const struct child *child, pid_t pid) {
  char text[32];
  format(text, sizeof text, "PID=%d", pid);
  return hook_environment(text) == 0 ? hook_run(child->plan, options->lib, HOOK_AFTER_CLONE, -1)
                                     : report_errno("launch", "PID");
}

int launch(const struct options *options, struct child *child, const struct network *network) {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
    return report_errno("launch", "socketpair");
  child->channel = pair[1];
  struct birth birth = {.options = options, .child = child, .launchers_end = pair[0]};
  const bool is_lent = may_lend(options);
  const pid_t pid = clone_child(&birth, network, is_lent);
  if (pid < 0) return report_errno("clone", "init");
  bare_close(pair[1]);
  char text[64];
  format(text, sizeof text, "cloned %d", pid);
  int result = leave_network(options, network);
  if (result == 0) result = pass(options, AT_CLONE);
  if (result == 0 && options->sync_fd >= 0 && !report_to(options->sync_fd, text)) result = -1;
  identity_reap(); /* the daemon and the child are at work, and this process would only wait for them */
  if (result == 0) result = pass(options, AT_CLONE_TOLD);
  if (result == 0) result = launch_await(options, "go");
  if (result == 0) result = pass(options, AT_GO);
  if (result == 0 && !is_lent && !options->insecure) result = run_hook(options, child, pid);
  if (result == 0) result = pass(options, AT_AFTER_CLONE);
  /* it may have failed already: what it said of that is read by relay() */
  if (result == 0) bare_send(pair[0], "go", 2);
  if (result == 0) result = relay(options, pair[0], pid);
  if (result != 0) kill_child(options, pid);
  return result;
}
