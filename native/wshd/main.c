/*
 * wshd: starts a container and becomes its init.
 *
 * The process that is started is the launcher. It binds the socket, clones the child into new namespaces,
 * lets the daemon attach the network, relays the child's reports and ends (launch.c). The child (child.c)
 * builds the root and serves as process 1 (init.c).
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
#include "descriptor.h"
#include "failpoint.h"
#include "format.h"
#include "hooks.h"
#include "identity.h"
#include "image.h"
#include "launch.h"
#include "options.h"
#include "plan.h"
#include "report.h"
#include "root.h"
#include "setting.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

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
  child->reserve.outside = open_path(plan->reserve_outside, O_WRONLY);
  if (child->reserve.outside < 0) return report_errno("cgroup", plan->reserve_outside);
  child->reserve.inside = open_path(plan->reserve_inside, O_WRONLY);
  return child->reserve.inside < 0 ? report_errno("cgroup", plan->reserve_inside) : 0;
}

/* Leaves this process, and with it the hooks, in the host's. */
static int make_network(struct network *network) {
  static const char path[] = "/proc/self/ns/net";
  network->hosts = open_path(path, O_RDONLY);
  if (network->hosts < 0 || unshare(CLONE_NEWNET) != 0) return report_errno("unshare", "network namespace");
  network->own = open_path(path, O_RDONLY);
  return network->own >= 0 && setns(network->hosts, CLONE_NEWNET) == 0
             ? 0
             : report_errno("unshare", "network namespace");
}

/* Made here, where process numbers are the host's: /proc, through which a map is written, shows those. */
static int make_users(const struct plan *plan, struct child *child) {
  child->users = plan->ids.count == 0 ? -1 : identity_create(&plan->ids, &plan->ids);
  if (plan->ids.count > 0 && child->users < 0) return report_errno("idmap", "user namespace");
  ownership_prepare(&child->ownership, plan, child->users);
  return failpoint_reported(AT_USERS);
}

/*
 * When memory runs out, whatever runs in the container goes before its init. By the new file a job could
 * lower its own score as far as init's: what may be asked for is inherited, and a write with the host's
 * rights changes that too. One to the old file does not. Where init's score cannot be lowered so, those of
 * jobs are raised instead; what they may undo of that makes them init's equals, who are judged by their size.
 *
 * The child inherits it (and hooks.c takes it back for what hooks start). Were it to write this itself, the
 * kernel would look through all processes of the host for others that have its memory, as long as that has
 * ever been shared (__set_oom_adj() in fs/proc/base.c).
 */
static const char *spare_init(void) {
  (void)setting_write("/proc/self/oom_score_adj", "0");
  return setting_write("/proc/self/oom_adj", "-16") == 0 ? "0" : "500";
}

/* What the child has been told of may be on this process's stack: it stays as it is. */
_Noreturn static void end(int result) { _exit(result == 0 ? 0 : 1); }

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
    if (launch_await(&options, "prepared") != 0) return 1;
    status = options_check(&options);
    if (status >= 0) return status;
  }
  static struct plan plan;
  if (options.insecure) {
    struct child keeper = {.options = &options,
                           .plan = &plan,
                           .argc = argc,
                           .argv = argv,
                           .dev = {-1, false},
                           .reserve = {-1, -1, false}};
    keeper.listener = bind_socket(options.run);
    end(keeper.listener >= 0 ? launch(&options, &keeper, &network) : -1);
  }
  if (plan_load(&plan) != 0) return 1;
  struct child child = {.options = &options, .plan = &plan, .argc = argc, .argv = argv};
  child.listener = bind_socket(options.run);
  if (child.listener < 0 || (!options.early && private_mounts() != 0) ||
      hook_run(&plan, options.lib, "hook-parent-before-clone.sh", -1) != 0)
    return 1;
  if (failpoint_reported(AT_BEFORE_CLONE) != 0) return 1;
  child.job_score = spare_init(); /* before anybody shares this memory, as make_users() does */
  if (make_users(&plan, &child) != 0) return 1;
  child.dev = root_make_dev(&plan);
  if (child.dev.tree < 0 || failpoint_reported(AT_DEV) != 0) return 1;
  if (join_cgroups(&plan) != 0 || open_reserve(&plan, &child) != 0) return 1;
  end(launch(&options, &child, &network));
}
