/*
 * wshd: starts a container and becomes its init.
 *
 * The process that is started is the launcher. It binds the socket, clones the child into new namespaces,
 * lets the daemon attach the network, relays the child's reports and ends. The child (child.c) builds the
 * root and serves as process 1 (init.c).
 *
 *   daemon            launcher                      child
 *     |-- prepared --->| (only with --early)         |
 *     |                | clone --------------------->|
 *     |<- cloned <pid> |                             | builds the root (1), waits
 *     |-- go --------->| hook-parent-after-clone     |
 *     |                |-- go ---------------------->| network, pivot, listen
 *     |<- ready -------|<- ready --------------------|
 *                      |-- ok ---------------------->|
 *                     exit                           | serves
 *
 * (1) the other way round if there is a hook-parent-after-clone, which runs before anything is built.
 *
 * End of file on either channel means that the other side died: the launcher then kills the child, the child
 * ends. So init outlives only a launcher that has said "ok", and it says so only when the daemon has been
 * told.
 */
#include "child.h"
#include "failpoint.h"
#include "format.h"
#include "hooks.h"
#include "identity.h"
#include "image.h"
#include "insecure.h"
#include "options.h"
#include "plan.h"
#include "report.h"
#include "root.h"
#include "setting.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * The user namespace is not among them: the child enters it last, so that these belong to the host
 * (identity.h).
 */
#define NAMESPACES (CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWIPC)

/*
 * The most expensive of the namespaces, and the one that nothing in the directory has a say in: made early,
 * it costs no time later.
 */
struct network {
  int own, hosts; /* -1: made by the clone */
};

static int bind_socket(const char *run) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (format(address.sun_path, sizeof address.sun_path, "%s/wshd.sock", run) >= sizeof address.sun_path) {
    errno = ENAMETOOLONG;
    return report_errno("socket", run);
  }
  int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return report_errno("socket", address.sun_path);
  unlink(address.sun_path);
  if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || chmod(address.sun_path, 0600) != 0)
    return report_errno("socket", address.sun_path);
  return failpoint_reported(AT_SOCKET) == 0 ? fd : -1;
}

/* Nothing the hooks mount may show on the host, nor the host's later mounts here. */
static int private_mounts(void) {
  if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
    return report_errno("unshare", "mount namespace");
  return failpoint_reported(AT_MOUNTS);
}

/*
 * A process that moves itself while it has one thread does not wait for an RCU grace period; its children are
 * born inside.
 */
static int join_cgroups(const struct plan *plan) {
  for (size_t i = 0; i < plan->cgroup_count; i++)
    if (setting_write(plan->cgroups[i], "0") != 0) return report_errno("cgroup", plan->cgroups[i]);
  return failpoint_reported(AT_CGROUPS);
}

/*
 * What a write to these files may do is judged by who opened them, so that init can use them after it has
 * given up its rights. Where the kernel judges by who writes (cgroup v2 before 5.16 with nsdelegate), init is
 * refused and has no reserve.
 */
static int open_reserve(const struct plan *plan, struct child *child) {
  child->reserve = (struct reserve){.outside = -1, .inside = -1};
  if (plan->reserve_outside == NULL) return 0;
  child->reserve.outside = open(plan->reserve_outside, O_WRONLY | O_CLOEXEC);
  if (child->reserve.outside < 0) return report_errno("cgroup", plan->reserve_outside);
  child->reserve.inside = open(plan->reserve_inside, O_WRONLY | O_CLOEXEC);
  return child->reserve.inside < 0 ? report_errno("cgroup", plan->reserve_inside) : 0;
}

/* Leaves this process, and with it the hooks, in the host's. */
static int make_network(struct network *network) {
  static const char path[] = "/proc/self/ns/net";
  network->hosts = open(path, O_RDONLY | O_CLOEXEC);
  if (network->hosts < 0 || unshare(CLONE_NEWNET) != 0) return report_errno("unshare", "network namespace");
  network->own = open(path, O_RDONLY | O_CLOEXEC);
  return network->own >= 0 && setns(network->hosts, CLONE_NEWNET) == 0
             ? 0
             : report_errno("unshare", "network namespace");
}

/*
 * As fork(2), with namespaces. The C library's own record of the process id is not used anywhere here. A
 * network namespace that is there is inherited and not entered by the child: once the daemon knows the
 * child's number, it puts the link where the child is. This process is in it then.
 */
static pid_t clone_child(const struct network *network) {
  const bool is_made = network->own >= 0;
  if (is_made && setns(network->own, CLONE_NEWNET) != 0) return -1;
  return (pid_t)syscall(SYS_clone,
                        (unsigned long)((is_made ? NAMESPACES & ~CLONE_NEWNET : NAMESPACES) | SIGCHLD), NULL,
                        NULL, NULL, NULL);
}

static int leave_network(const struct network *network) {
  return network->hosts < 0 || setns(network->hosts, CLONE_NEWNET) == 0
             ? 0
             : report_errno("launch", "network namespace");
}

/* A keeper that is killed outright would leave its init to itself. */
static void kill_child(const struct options *options, pid_t pid) {
  kill(pid, options->insecure ? SIGTERM : SIGKILL);
  while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) continue;
}

/* Waits for a word of the daemon's. Without a daemon there is nothing to wait for. */
static int await_daemon(const struct options *options, const char *expected) {
  char word[16];
  if (options->sync_fd < 0) return 0;
  ssize_t got;
  do got = recv(options->sync_fd, word, sizeof word, 0);
  while (got < 0 && errno == EINTR);
  return got == (ssize_t)strlen(expected) && memcmp(word, expected, (size_t)got) == 0 ? 0 : -1;
}

static int child_died(pid_t pid) {
  siginfo_t info = {0};
  char text[128];
  /* left for kill_child() to collect: after that the number may be another process's */
  while (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT) != 0 && errno == EINTR) continue;
  format(text, sizeof text,
         info.si_code == CLD_EXITED ? "init ended with status %d" : "init was killed by signal %d",
         info.si_status);
  return report_failure("init", ECHILD, 0, "init", text);
}

/* Passes the child's reports on until it is ready. */
static int relay(const struct options *options, int channel, pid_t pid) {
  bool failed = false;
  for (;;) {
    struct pollfd wait[2] = {{.fd = channel, .events = POLLIN}, {.fd = options->sync_fd, .events = POLLIN}};
    if (poll(wait, 2, -1) < 0 && errno != EINTR) return report_errno("relay", "init");
    if (wait[1].revents != 0) return -1; /* the daemon has nothing more to say, so this is its end */
    if (wait[0].revents == 0) continue;
    char packet[4096];
    ssize_t got = recv(channel, packet, sizeof packet - 1, MSG_DONTWAIT);
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (got <= 0) return failed ? -1 : child_died(pid);
    packet[got] = '\0';
    if (strcmp(packet, "ready") == 0) {
      if (failpoint_reported(AT_READY) != 0) return -1;
      if (options->sync_fd >= 0 && !report_packet(packet)) return -1;
      if (failpoint_reported(AT_READY_TOLD) != 0) return -1;
      return send(channel, "ok", 2, MSG_NOSIGNAL) == 2 ? 0 : child_died(pid);
    }
    failed = failed || strncmp(packet, "error ", 6) == 0;
    report_packet(packet);
  }
}

/* Made here, where process numbers are the host's: /proc, through which a map is written, shows those. */
static int make_users(const struct plan *plan, struct child *child) {
  child->users = plan->ids.count == 0 ? -1 : identity_create(&plan->ids, &plan->ids);
  if (plan->ids.count > 0 && child->users < 0) return report_errno("idmap", "user namespace");
  ownership_prepare(&child->ownership, plan, child->users);
  return failpoint_reported(AT_USERS);
}

static int launch(const struct options *options, struct child *child, const struct network *network) {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
    return report_errno("launch", "socketpair");
  pid_t pid = options->insecure ? _Fork() : clone_child(network);
  if (pid < 0) return report_errno("clone", "init");
  if (pid == 0) {
    close(pair[0]);
    if (options->sync_fd >= 0) close(options->sync_fd);
    child->channel = pair[1];
    _exit(options->insecure ? insecure_main(child) : child_main(child));
  }
  close(pair[1]);
  char text[64];
  format(text, sizeof text, "cloned %d", pid);
  int result = leave_network(network);
  if (result == 0) result = failpoint_reported(AT_CLONE);
  if (result == 0 && options->sync_fd >= 0 && !report_packet(text)) result = -1;
  identity_reap(); /* the daemon and the child are at work, and this process would only wait for them */
  if (result == 0) result = failpoint_reported(AT_CLONE_TOLD);
  if (result == 0) result = await_daemon(options, "go");
  if (result == 0) result = failpoint_reported(AT_GO);
  if (result == 0 && !options->insecure) {
    format(text, sizeof text, "PID=%d", pid);
    result = hook_environment(text) == 0 ? hook_run(child->plan, options->lib, HOOK_AFTER_CLONE, -1)
                                         : report_errno("launch", "PID");
  }
  if (result == 0) result = failpoint_reported(AT_AFTER_CLONE);
  /* it may have failed already: what it said of that is read by relay() */
  if (result == 0) send(pair[0], "go", 2, MSG_NOSIGNAL);
  if (result == 0) result = relay(options, pair[0], pid);
  if (result != 0) kill_child(options, pid);
  return result;
}

int main(int argc, char **argv) {
  struct options options;
  /* what this program opens must not become 0, 1 or 2, whatever the one that started it had closed */
  int null;
  while ((null = open("/dev/null", O_RDWR)) >= 0 && null <= 2) continue;
  if (null > 2) close(null);
  int status = options_parse(&options, argc, argv);
  if (status >= 0) return status;
  if (options.sync_fd >= 0) report_open(options.sync_fd);
  if (!options.insecure && image_protect(argv) != 0) return 1;
  if (failpoints_open() != 0) return 1; /* not before: that one starts the program again */
  if (options.sync_fd >= 0) {
    fcntl(options.sync_fd, F_SETFD, FD_CLOEXEC);
    /* whatever else was inherited belongs to nobody here */
    if (options.sync_fd > 3) syscall(SYS_close_range, 3u, (unsigned)options.sync_fd - 1, 0u);
    syscall(SYS_close_range, (unsigned)options.sync_fd + 1, ~0u, 0u);
  } else {
    syscall(SYS_close_range, 3u, ~0u, 0u);
  }
  signal(SIGPIPE, SIG_IGN);
  struct network network = {-1, -1};
  if (options.early) {
    if (!options.insecure && (private_mounts() != 0 || make_network(&network) != 0)) return 1;
    /* the daemon writes meanwhile what is read below; it may also give the container up, or die */
    if (await_daemon(&options, "prepared") != 0) return 1;
    status = options_check(&options);
    if (status >= 0) return status;
  }
  static struct plan plan;
  if (options.insecure) {
    struct child keeper = {.options = &options,
                           .plan = &plan,
                           .argc = argc,
                           .argv = argv,
                           .dev = -1,
                           .reserve = {-1, -1, false}};
    keeper.listener = bind_socket(options.run);
    return keeper.listener >= 0 && launch(&options, &keeper, &network) == 0 ? 0 : 1;
  }
  if (plan_load(&plan) != 0) return 1;
  struct child child = {.options = &options, .plan = &plan, .argc = argc, .argv = argv};
  child.listener = bind_socket(options.run);
  if (child.listener < 0 || (!options.early && private_mounts() != 0) ||
      hook_run(&plan, options.lib, "hook-parent-before-clone.sh", -1) != 0)
    return 1;
  if (failpoint_reported(AT_BEFORE_CLONE) != 0) return 1;
  if (make_users(&plan, &child) != 0) return 1;
  child.dev = root_make_dev(&plan);
  if (child.dev < 0 || failpoint_reported(AT_DEV) != 0) return 1;
  if (join_cgroups(&plan) != 0 || open_reserve(&plan, &child) != 0) return 1;
  return launch(&options, &child, &network) == 0 ? 0 : 1;
}
